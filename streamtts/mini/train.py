"""Make mini from nothing: `python -m streamtts.mini.train STAGE --minutes N`, or `all`.

Stages in order: corpus, sentences, tokenizer, flow (encoder, then estimator), pitch, hift, t3, export, evaluate; these
are `all`.
The stage adversarial goes on from hift; export takes what it left where it was run.
Everything is kept in the work folder; training stages log losses to WORK/logs/STAGE.csv, save every two minutes and go
on from there when started again. While a file WORK/PAUSE exists they sleep.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from .trainer import default_work, keep_freed_memory

MINUTES = dict(tokenizer=10, encoder=30, estimator=30, pitch=6, hift=35, adversarial=30, t3=60)
ALL = ("corpus", "sentences", "tokenizer", "encoder", "estimator", "pitch", "hift", "t3", "export", "evaluate")
STAGES = (
    "corpus",
    "sentences",
    "encoder",
    "estimator",
    "flow",
    "pitch",
    "hift",
    "adversarial",
    "t3",
    "tokenizer",
    "export",
    "evaluate",
    "all",
)


def run_stage(
    stage: str, work: Path, minutes: float | None, max_steps: int | None, out: Path, start: Path | None = None
) -> None:
    """Run one stage on what earlier stages left in the work folder."""
    from .sizes import MINI

    minutes = minutes or MINUTES.get(stage, 0)
    if stage == "corpus":
        from . import corpus, features

        corpus.build(work / "corpus")
        features.build(work / "corpus")
    elif stage == "sentences":
        from . import sentences, text_tokenizer

        sentences.build(work / "corpus", text_tokenizer.built(work))
    elif stage == "encoder":
        from .flow import train_encoder

        train_encoder(work, MINI.s3gen, minutes, max_steps, start=start)
    elif stage == "estimator":
        from .flow import train_estimator
        from .speakers import xvector_bank

        train_estimator(work, MINI.s3gen, minutes, xvector_bank(work, MINI.s3gen), max_steps)
    elif stage == "pitch":
        from .pitch import train_pitch

        train_pitch(work, MINI.s3gen, minutes, max_steps)
    elif stage in ("hift", "adversarial"):
        from .vocoder import train_hift

        train_hift(work, MINI.s3gen, minutes, max_steps, start=start, adversarial=stage == "adversarial")
    elif stage == "t3":
        from .t3 import train_t3

        train_t3(work, MINI.t3, minutes, max_steps, start=start)
    elif stage == "tokenizer":
        from .speech_tokenizer import train_tokenizer

        train_tokenizer(work, MINI.s3gen, minutes, max_steps)
    elif stage == "export":
        from .export import export

        export(work, MINI, out, start)
    elif stage == "evaluate":
        from .evaluate import evaluate

        evaluate(work, out)


def main(argv: list[str] | None = None) -> None:
    """Entry point of `python -m streamtts.mini.train`."""
    parser = argparse.ArgumentParser(
        prog="python -m streamtts.mini.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--minutes", type=float, help="training time of the stage; each has a default")
    parser.add_argument("--work", type=Path, default=default_work(), help="corpus, logs, weights in training")
    parser.add_argument("--out", type=Path, help="checkpoint folder of export and evaluate (default: WORK/mini)")
    parser.add_argument(
        "--start",
        type=Path,
        help="encoder, hift, t3: begin with the weights of this checkpoint folder; export: take all but T3 from it",
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--max-steps", type=int, help="stop after so many steps, for a quick look")
    args = parser.parse_args(argv)

    os.environ.setdefault("OMP_NUM_THREADS", str(args.threads))
    keep_freed_memory()
    import torch

    torch.set_num_threads(args.threads)
    stages = {"all": ALL, "flow": ("encoder", "estimator")}
    for stage in stages.get(args.stage, (args.stage,)):
        share = 0.5 if args.stage == "flow" and args.minutes else 1.0
        minutes = args.minutes * share if args.minutes else None
        run_stage(stage, args.work, minutes, args.max_steps, args.out or args.work / "mini", args.start)


if __name__ == "__main__":
    main()

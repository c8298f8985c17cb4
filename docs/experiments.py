"""The experiments of EXPERIMENTS.md: prints their tables and draws their figures into docs/figures.

python docs/experiments.py crossfade   # 1: what an overlap-add crossfade does to a seam
python docs/experiments.py pipeline    # 2: T3 and S3Gen in one thread and in two
python docs/experiments.py context     # 3: how much context a chunk needs
python docs/experiments.py texts       # the default settings on fifty other texts
python docs/experiments.py judge       # how many planted faults the judge finds, and how often it is wrong
python docs/experiments.py busy        # fifty Speaks while another program keeps one core busy
python docs/experiments.py policies    # how far every policy is from full attention, in dB and in words
python docs/experiments.py watermark   # what the watermark survives
python docs/experiments.py precision   # what other number formats change against float32
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import planted_faults
import watermark as surviving

import streamtts
from streamtts.checkpoint.precision import formats
from streamtts.doctor import precision_error
from streamtts.seams import SeamReport, analyse, continuity, distance, plots, timeline
from streamtts.seams.report import SeamRow
from streamtts.text.word_errors import word_errors
from streamtts.tune.plots import heat_map, trade_off
from streamtts.tune.recommend import recommend
from streamtts.tune.report import rounds_in_words, table
from streamtts.tune.sweep import TEXTS, grid_settings, latest, prepare, sweep
from streamtts.widgets.speak import HELLO

SENTENCES = [
    "The words arrive while they are still being made.",
    "Hello! You hear this sentence while its end is still being computed.",
    "She sells sea shells by the sea shore, and the shells she sells are surely seashells.",
    "My phone number is five five five, one two three four.",
    "Please call Stella and ask her to bring these things from the store.",
    "Are you sure? I would have thought that the train left at eight.",
    "A large size in stockings is hard to sell.",
    "The quick brown fox jumps over the lazy dog, and then it sleeps.",
    "In two thousand and nineteen the bridge was closed for repairs, but it opened again in spring.",
    "No.",
]
SPOKEN = "The train to the coast leaves at nine, and the next one not before noon."  # for the timelines
VARIED_TEXTS = Path(__file__).parents[1] / "tests" / "varied_texts.txt"
NONE: dict[str, Any] = {"policy": "none", "crossfade_ms": 0}
FIGURES = Path(__file__).parent / "figures"
OTHER_NOISE = "one-shot with other noise, at the places of the first line's seams"


def compare(
    model: Any, variants: dict[str, dict[str, Any]], sentences: list[str]
) -> dict[str, list[tuple[Any, Any, SeamReport]]]:
    """Every sentence decoded by every variant, against one-shot of the same tokens: (utterance, one-shot, report)."""
    made: dict[str, list[Any]] = {name: [] for name in variants}
    for seed, text in enumerate(sentences):
        base = streamtts.Settings(seed=seed, watermark=False)  # compare decodings without watermarks
        tokens = streamtts.stream(model, text, settings=base).collect().tokens
        whole = streamtts.synthesize(model, tokens=tokens, settings=base)
        for name, changes in variants.items():
            u = streamtts.redecode(model, tokens, settings=base.replace(**changes)).collect()
            made[name].append((u, whole, analyse(u.samples, u.seams, reference=whole.samples)))
    return made


def print_table(made: dict[str, list[Any]]) -> None:
    """One line per variant, in Markdown. Utterances of one chunk have no seam and are left out."""
    print("| decoding | seams | stand out | as what | null test, median (dB) | log-mel distance, mean (dB) |")
    print("|---|---|---|---|---|---|")
    for name, rows in made.items():
        reports = [r for _, _, r in rows if r.rows]
        audible = sum(r.n_audible for r in reports)
        null = statistics.median(r.null_test_db for r in reports)
        mel = statistics.fmean(r.log_mel_db for r in reports)
        what, seams = as_what(row for r in reports for row in r.rows), sum(len(r.rows) for r in reports)
        print(f"| {name} | {seams} | {audible} | {what} | {null:.1f} | {mel:.2f} |")


def as_what(rows: Iterable[SeamRow]) -> str:
    """How many seams stand out by each kind: ``hole 3, level 1``."""
    kinds = Counter(kind for row in rows for kind in row.faults)
    return ", ".join(f"{kind} {count}" for kind, count in kinds.most_common()) or "-"


def save(options: argparse.Namespace, name: str, figure: Any) -> None:
    """Write a figure for the page."""
    options.figures.mkdir(parents=True, exist_ok=True)
    (options.figures / f"{name}.png").write_bytes(plots.to_png(figure))


def crossfade(model: Any, options: argparse.Namespace) -> None:
    """Experiment 1."""
    variants: dict[str, dict[str, Any]] = {
        "chunks apart, end to end": {"policy": "none", "crossfade_ms": 0},
        "chunks apart, 10 ms crossfade": {"policy": "none", "crossfade_ms": 10},
        "chunks apart, 40 ms crossfade": {"policy": "none", "crossfade_ms": 40},
        "chunks apart, 100 ms crossfade": {"policy": "none", "crossfade_ms": 100},
        "`window`, the default": {},
    }
    made = compare(model, variants, SENTENCES[: options.sentences])
    print_table(made)
    for file, variant in zip(("end_to_end", "crossfade_40", "window"), list(variants)[::2], strict=True):
        u, whole, report = made[variant][0]
        save(options, f"seams_{file}", plots.seam_zooms(u.samples, u.seams, whole.samples, report=report))
        save(options, f"mel_{file}", plots.mel_difference(u.samples, u.seams, whole.samples, report=report))


def parallel(model: Any, options: argparse.Namespace) -> None:
    """Experiment 2: times of three texts, then the timelines of one sentence and the costs of its stages."""
    spoken = prepare(model, TEXTS, streamtts.Settings())
    grid = grid_settings({"policy": ("window", "cached"), "parallel": (False, True)}, streamtts.Settings())
    print("| policy | threads | first audio (ms) | RTF | underruns (ms) |\n|---|---|---|---|---|")
    for trial in latest(sweep(model, spoken, grid, rounds=options.rounds)):
        threads = 2 if trial.settings.parallel else 1
        underruns = "-" if trial.worst_shortfall_ms is None else f"{trial.worst_shortfall_ms:.0f}"
        print(f"| `{trial.settings.policy}` | {threads} | {trial.ttfa_ms:.0f} | {trial.rtf:.2f} | {underruns} |")
    print(f"\n{len(spoken)} texts; times are {rounds_in_words(options.rounds)}.")
    runs, made = {}, {}
    for name, flag in (("serial", False), ("parallel", True)):
        made[name] = list(streamtts.stream(model, SPOKEN, settings=streamtts.Settings(parallel=flag)))
        runs[name] = timeline.measured(made[name], parallel=flag)
    end = max(continuity.playback(run.chunk_times).ends_ms for run in runs.values())
    for name, run in runs.items():
        save(options, f"timeline_{name}", plots.timeline(run, title=name, until_ms=end))
    settings = streamtts.Settings()
    lag = model.vocoder_lag_tokens
    costs = timeline.fit_costs(made["serial"], settings, lag)
    print("Costs in ms: " + ", ".join(f"{name} {ms:.1f}" for name, ms in vars(costs).items()))
    for buffer_ms in (0, 200):
        growth = timeline.largest_growth(costs, settings, 250, lag_tokens=lag, allowed_ms=buffer_ms)
        print(f"Largest chunk_growth without underruns in 10 s, with a player buffer of {buffer_ms} ms: {growth}")


def context(model: Any, options: argparse.Namespace) -> None:
    """Experiment 3."""
    variants: dict[str, dict[str, Any]] = {
        f"context {c}, lookahead 3 to 10": {"left_context_tokens": c} for c in (0, 10, 25, 50, 100)
    }
    variants |= {f"context 50, lookahead {n}": {"lookahead_tokens": n, "max_lookahead_tokens": n} for n in (0, 3, 10)}
    variants["`cached`"] = {"policy": "cached"}
    print_table(compare(model, variants, SENTENCES[: options.sentences]))
    grid = {"left_context_tokens": (0, 10, 25, 50), "lookahead_tokens": (0, 3, 10), "max_lookahead_tokens": (10,)}
    spoken = prepare(model, TEXTS, streamtts.Settings())
    settings = grid_settings(grid, streamtts.Settings())
    trials = latest(sweep(model, spoken, settings, rounds=options.rounds))
    best, why = recommend(trials)
    print(f"{table(trials)}\nTimes are {rounds_in_words(options.rounds)}.")
    print(f"Recommended: {best.label if best else 'no setting'} ({why}).")
    save(options, "trade_off", trade_off(trials, chosen=best.label if best else None))
    save(options, "context_heat", heat_map(trials))


FULL = "full attention, in one pass"
POLICIES: dict[str, dict[str, Any]] = {
    "`none`, end to end": {"policy": "none", "crossfade_ms": 0},
    "`window`, left context 0": {"left_context_tokens": 0},
    "`window`, left context 10": {"left_context_tokens": 10},
    "`window`, left context 25": {"left_context_tokens": 25},
    "`window`, left context 50 (the default)": {},
    "`cached`, left context 10": {"policy": "cached", "left_context_tokens": 10},
    "`cached`, left context 50": {"policy": "cached"},
}


@dataclass(frozen=True)
class Apart:
    """One sentence under one policy, against the same tokens under full attention.

    Attributes:
        decoding: A name of ``POLICIES``, or ``FULL`` for the reference itself.
        text: The sentence.
        null_db: Null test.
        log_mel_db: Log-mel distance.
        heard: Words that Whisper tiny.en heard.
        wrong: Words that it missed, added or misheard, against the text.
        words: Words of the text.
        unlike: Words that it missed, added or misheard, against what it heard in the reference.
        reference_words: Words that it heard in the reference.
    """

    decoding: str
    text: str
    null_db: float | None
    log_mel_db: float | None
    heard: str
    wrong: int
    words: int
    unlike: int
    reference_words: int


def measure_policies(model: Any, sentences: list[str]) -> list[Apart]:
    """Every sentence, spoken once by T3 and decoded by every policy."""
    from streamtts.mini.ears import Ears

    ears, made = Ears(), []
    for seed, text in enumerate(sentences):
        base = streamtts.Settings(seed=seed, watermark=False)
        tokens = streamtts.stream(model, text, settings=base).collect().tokens
        whole = streamtts.synthesize(model, tokens=tokens, settings=base).samples
        reference = ears.words(whole)
        audio = {FULL: whole} | {
            name: streamtts.redecode(model, tokens, settings=base.replace(**changes)).collect().samples
            for name, changes in POLICIES.items()
        }
        for name, samples in audio.items():
            heard = reference if name == FULL else ears.words(samples)
            null, mel = distance.null_test_db(samples, whole), distance.log_mel_distance(samples, whole)
            wrong, unlike = word_errors(text, heard), word_errors(reference, heard)
            errors = wrong.errors, wrong.words, unlike.errors, unlike.words
            made.append(Apart(name, text, null, mel, heard, *errors))
    return made


def print_policies(made: list[Apart]) -> None:
    """One line per policy, in Markdown. The maximum is that of the sentence farthest from full attention."""
    print(
        "| decoding | null test, median (dB) | maximum | log-mel distance, median (dB) | maximum | word errors "
        "| word errors against full attention * |"
    )
    print("|---|---|---|---|---|---|---|")
    for name in (FULL, *POLICIES):
        rows = [row for row in made if row.decoding == name]
        spans = [
            [value for row in rows if (value := getattr(row, key)) is not None] for key in ("null_db", "log_mel_db")
        ]
        figures = [f"{statistics.median(span):.{n}f} | {max(span):.{n}f}" for n, span in enumerate(spans, 1)]
        if name == FULL:
            figures = ["- | -"] * 2
        wrong = 100 * sum(row.wrong for row in rows) / sum(row.words for row in rows)
        unlike = 100 * sum(row.unlike for row in rows) / max(1, sum(row.reference_words for row in rows))
        print(f"| {name} | {' | '.join(figures)} | {wrong:.1f} % | {unlike:.1f} % |")
    sentences, words = len(made) // (1 + len(POLICIES)), sum(row.words for row in made if row.decoding == FULL)
    print(
        f"\n{sentences} sentences, {words} words. * Word errors against what Whisper hears in the first line's audio."
    )


def policies(model: Any, options: argparse.Namespace) -> None:
    """How far every policy is from full attention: the table, and every sentence's figures as JSON."""
    from streamtts.mini.texts import held_out_sentences

    made = measure_policies(model, held_out_sentences()[: options.sentences or 30])
    print_policies(made)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in made], indent=1) + "\n")


def precision(model: Any, options: argparse.Namespace) -> None:
    """What the device's number formats change against float32: the table, and every sentence's figures as JSON."""
    from streamtts.mini.ears import Ears
    from streamtts.mini.texts import held_out_sentences

    full = model if model.precision == "fp32" else streamtts.load(options.model, precision="fp32")
    said = precision_error.say(full, held_out_sentences()[: options.sentences or 30])
    hear, made = Ears().words, []
    for name in formats(full.device):
        other = full if name == "fp32" else streamtts.load(options.model, full.device, precision=name)
        made += precision_error.compare(other, said, hear)
    predictions = sum(len(reference.logits) for reference in said)
    print(f"{precision_error.table(made)}\n\n{len(said)} sentences, {predictions} predicted tokens, on {full.device}.")
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in made], indent=1) + "\n")


def texts(model: Any, options: argparse.Namespace) -> None:
    """The default settings on the demo text and the fifty texts, the other policies, and intact speech for chance."""
    variants: dict[str, dict[str, Any]] = {
        "`window`, the default": {},
        "`window`, lookahead never over 3": {"max_lookahead_tokens": 3},
        "`cached`": {"policy": "cached"},
        "`none`, 40 ms crossfade": {"policy": "none"},
        "`none`, end to end": NONE,
    }
    sentences = [HELLO, *VARIED_TEXTS.read_text().splitlines()][: options.sentences]
    made: dict[str, list[SeamReport]] = {name: [] for name in (*variants, OTHER_NOISE)}
    for seed, text in enumerate(sentences):
        base = streamtts.Settings(seed=seed, watermark=False)
        tokens = streamtts.stream(model, text, settings=base).collect().tokens
        whole = streamtts.synthesize(model, tokens=tokens, settings=base).samples
        for name, changes in variants.items():
            u = streamtts.redecode(model, tokens, settings=base.replace(**changes)).collect()
            made[name].append(analyse(u.samples, u.seams, reference=whole))
        other = streamtts.synthesize(model, tokens=tokens, settings=base.replace(seed=seed + 1000)).samples
        seams = [row.sample for row in made["`window`, the default"][-1].rows]
        made[OTHER_NOISE].append(analyse(other, seams, reference=whole))
    print("| decoding | seams | stand out | as what | texts | log-mel distance, mean (dB) |\n|---|---|---|---|---|---|")
    for name, reports in made.items():
        rows = [row for r in reports for row in r.rows]
        audible = sum(bool(row.audible) for row in rows)
        seen = [r for r in reports if r.rows]
        mel = statistics.fmean(r.log_mel_db or 0.0 for r in seen)
        said = f"{sum(bool(r.places) for r in seen)} of {len(seen)}"
        print(
            f"| {name} | {len(rows)} | {audible} ({audible / len(rows):.1%}) | {as_what(rows)} | {said} | {mel:.2f} |"
        )
    print(f"\n{len(sentences)} texts; those of one chunk have no seam.")
    print("\n".join(f"The panel's text, {name}: {reports[0].sentence}" for name, reports in made.items()))


def busy(model: Any, options: argparse.Namespace) -> None:
    """Fifty Speaks in a row with the default settings while one core is kept busy by another program."""
    texts = [HELLO, *VARIED_TEXTS.read_text().splitlines()][: options.sentences or 50]
    print("| decoding | Speaks | with an underrun after the first | longest (ms) | first audio, median (ms) | RTF |")
    print("|---|---|---|---|---|---|")
    for name, changes in {"`window`, the default": {}, "`cached`": {"policy": "cached"}}.items():
        settings = streamtts.Settings(**changes)
        streamtts.warm_up(model, settings=settings)
        with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as spinning:
            try:
                stats = [streamtts.stream(model, text, settings=settings).collect().stats for text in texts]
            finally:
                spinning.kill()
        late = [s.max_underrun_ms or 0.0 for s in stats[1:]]
        first, rtf = statistics.median(s.ttfa_ms or 0.0 for s in stats), statistics.median(s.rtf or 0.0 for s in stats)
        print(f"| {name} | {len(stats)} | {sum(ms > 0 for ms in late)} | {max(late):.0f} | {first:.0f} | {rtf:.2f} |")


def judge(model: Any, options: argparse.Namespace) -> None:
    """Faults planted at the seams of the default stream, and intact speech, with the judge's answers."""
    planted_faults.judge(model, VARIED_TEXTS.read_text().splitlines()[: options.sentences])


def watermark(model: Any, options: argparse.Namespace) -> None:
    """What the watermark survives."""
    surviving.watermark(model, SENTENCES[: options.sentences])


EXPERIMENTS: dict[str, Callable[[Any, argparse.Namespace], None]] = {
    "crossfade": crossfade,
    "pipeline": parallel,
    "context": context,
    "texts": texts,
    "judge": judge,
    "busy": busy,
    "watermark": watermark,
    "policies": policies,
    "precision": precision,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one experiment."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", choices=EXPERIMENTS)
    parser.add_argument("--model", help="mini (default), turbo, nano, a repository or a folder")
    parser.add_argument(
        "--sentences",
        type=int,
        metavar="N",
        help="use only the first N sentences (default: all; 30 for policies and precision; not for pipeline)",
    )
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds of what is timed (default 5)")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="for policies and precision: write the figures of every sentence here"
    )
    parser.add_argument("--figures", type=Path, default=FIGURES, metavar="DIR", help="where figures are written")
    options = parser.parse_args(arguments)
    EXPERIMENTS[options.experiment](streamtts.load(options.model), options)


if __name__ == "__main__":
    main()

"""The experiments of EXPERIMENTS.md: prints their tables and draws their figures into docs/figures.

python docs/experiments.py crossfade   # 1: what an overlap-add crossfade does to a seam
python docs/experiments.py pipeline    # 2: T3 and S3Gen in one thread and in two
python docs/experiments.py context     # 3: how much a chunk must know
python docs/experiments.py policies    # how far every policy is from full attention, in dB and in words
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import streamtts
from streamtts import continuity, measures, pipeline, plots, seams, tune

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
FIGURES = Path(__file__).parent / "figures"
DISTANCE = "log-mel distance to one-shot (dB)"


def compare(model: Any, variants: dict[str, dict[str, Any]]) -> dict[str, list[tuple[Any, Any, seams.SeamReport]]]:
    """Every sentence decoded by every variant, against one-shot of the same tokens: (utterance, one-shot, report)."""
    made: dict[str, list[Any]] = {name: [] for name in variants}
    for seed, text in enumerate(SENTENCES):
        base = streamtts.Settings(seed=seed, watermark=False)  # compare decodings, not marks
        tokens = streamtts.stream(model, text, settings=base).collect().tokens
        whole = streamtts.synthesize(model, tokens=tokens, settings=base)
        for name, changes in variants.items():
            u = streamtts.redecode(model, tokens, settings=base.replace(**changes)).collect()
            made[name].append((u, whole, seams.analyse(u.samples, u.seams, reference=whole.samples)))
    return made


def print_table(made: dict[str, list[Any]]) -> None:
    """One line per variant, in Markdown. An utterance of one chunk has no seam to judge and is left out."""
    print(
        "| decoding | seams | outside the controls | audible | null test, median (dB) | log-mel distance, mean (dB) |"
    )
    print("|---|---|---|---|---|---|")
    for name, rows in made.items():
        reports = [r for _, _, r in rows if r.rows]
        outside, audible = (sum(getattr(r, key) for r in reports) for key in ("n_outside", "n_audible"))
        null = statistics.median(r.null_test_db for r in reports)
        distance = statistics.fmean(r.log_mel_db for r in reports)
        print(f"| {name} | {sum(len(r.rows) for r in reports)} | {outside} | {audible} | {null:.1f} | {distance:.2f} |")


def save(name: str, figure: Any) -> None:
    """Write a figure for the page."""
    FIGURES.mkdir(parents=True, exist_ok=True)
    (FIGURES / f"{name}.png").write_bytes(plots.to_png(figure))


def crossfade(model: Any) -> None:
    """Experiment 1."""
    variants: dict[str, dict[str, Any]] = {
        "chunks apart, end to end": {"policy": "none", "crossfade_ms": 0},
        "chunks apart, 10 ms crossfade": {"policy": "none", "crossfade_ms": 10},
        "chunks apart, 40 ms crossfade": {"policy": "none", "crossfade_ms": 40},
        "chunks apart, 100 ms crossfade": {"policy": "none", "crossfade_ms": 100},
        "`window`, the default": {},
    }
    made = compare(model, variants)
    print_table(made)
    for file, variant in zip(("end_to_end", "crossfade_40", "window"), list(variants)[::2], strict=True):
        u, whole, report = made[variant][0]
        save(f"seams_{file}", plots.seam_zooms(u.samples, u.seams, whole.samples, report=report))
        save(f"mel_{file}", plots.mel_difference(u.samples, u.seams, whole.samples, report=report))


def parallel(model: Any) -> None:
    """Experiment 2."""
    text = "The train to the coast leaves at nine, and the next one not before noon."
    streamtts.stream(model, text).collect()  # the first run is slower
    runs, made = {}, {}
    for name, flag in (("serial", False), ("parallel", True)):
        made[name] = list(streamtts.stream(model, text, settings=streamtts.Settings(parallel=flag)))
        runs[name] = pipeline.measured(made[name], parallel=flag)
    end = max(continuity.playback(run.chunk_times).ends_ms for run in runs.values())
    print("| | first audio (ms) | RTF | the player waited (ms) |\n|---|---|---|---|")
    for name, run in runs.items():
        heard = continuity.playback(run.chunk_times)
        print(f"| {name} | {heard.ttfa_ms:.0f} | {heard.rtf:.2f} | {heard.max_shortfall_ms:.0f} |")
        save(f"timeline_{name}", plots.timeline(run, title=name, until_ms=end))
    settings, lag = streamtts.Settings(), model.vocoder_lag_tokens
    costs = pipeline.fit_costs(made["serial"], settings, lag)
    print(", ".join(f"{name} {ms:.1f}" for name, ms in vars(costs).items()))
    for buffer_ms in (0, 200):
        growth = pipeline.largest_growth(costs, settings, 250, lag_tokens=lag, allowed_ms=buffer_ms)
        print(f"largest growth over 10 s with a player buffer of {buffer_ms} ms: {growth}")


def context(model: Any) -> None:
    """Experiment 3."""
    variants: dict[str, dict[str, Any]] = {
        f"context {c}, lookahead 3": {"left_context_tokens": c} for c in (0, 10, 25, 50, 100)
    }
    variants |= {f"context 50, lookahead {n}": {"lookahead_tokens": n} for n in (0, 10)}
    variants["`cached`"] = {"policy": "cached"}
    print_table(compare(model, variants))
    grid = {"left_context_tokens": (0, 10, 25, 50), "lookahead_tokens": (0, 3, 10)}
    spoken = tune.prepare(model, tune.TEXTS, streamtts.Settings())
    trials = list(tune.sweep(model, spoken, tune.grid_settings(grid, streamtts.Settings())))
    best, why = tune.recommend(trials)
    print(f"{tune.table(trials)}\nrecommended: {best.label if best else 'nothing'} ({why})")
    options, chosen = tune.options_of(trials), best.label if best else None
    save("trade_off", plots.trade_off(options, quality_label=DISTANCE, chosen=chosen))
    values = [
        [t.log_mel_db for t in trials if t.settings.lookahead_tokens == ahead] for ahead in grid["lookahead_tokens"]
    ]
    rows, columns = (list(map(str, grid[name])) for name in ("lookahead_tokens", "left_context_tokens"))
    figure = plots.heat_map(
        values,
        rows,
        columns,
        row_label="lookahead (tokens)",
        column_label="left context (tokens of 40 ms)",
        value_label=f"{DISTANCE}, lower is better",
    )
    save("context_heat", figure)


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
        text: What was to be said.
        null_db: Null test.
        log_mel_db: Log-mel distance.
        heard: Words that Whisper tiny.en heard.
        wrong: Words of the text that it missed, added or misheard.
        words: Words of the text.
        unlike: Words that it heard otherwise than in the reference.
        reference_words: Words that it heard there.
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
    from streamtts.mini.evaluate import Ears, word_errors

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
            null, distance = measures.null_test_db(samples, whole), measures.log_mel_distance(samples, whole)
            errors = *word_errors(text, heard), *word_errors(reference, heard)
            made.append(Apart(name, text, null, distance, heard, *errors))
    return made


def print_policies(made: list[Apart]) -> None:
    """One line per policy, in Markdown. Worst is the sentence that is farthest from full attention."""
    print(
        "| decoding | null test, median (dB) | worst | log-mel distance, median (dB) | worst | words wrong | unlike * |"
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
        f"\n{sentences} sentences, {words} words. * Words that Whisper hears otherwise than in the first line's audio."
    )


def policies(model: Any, sentences: int = 30, json_file: Path | None = None) -> None:
    """How far every policy is from full attention: the table, and every sentence's figures as JSON."""
    from streamtts.mini.texts import held_out_sentences

    made = measure_policies(model, held_out_sentences()[:sentences])
    print_policies(made)
    if json_file:
        json_file.write_text(json.dumps([asdict(row) for row in made], indent=1) + "\n")


if __name__ == "__main__":
    experiments = {"crossfade": crossfade, "pipeline": parallel, "context": context, "policies": policies}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", choices=experiments)
    parser.add_argument("--model", help="mini (default), turbo, nano, a repository or a folder")
    parser.add_argument("--sentences", type=int, default=30, metavar="N", help="of policies: say so many (default 30)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="of policies: write every sentence's figures there")
    options = parser.parse_args()
    chosen: dict[str, Any] = {}
    if options.experiment == "policies":
        chosen = {"sentences": options.sentences, "json_file": options.json}
    experiments[options.experiment](streamtts.load(options.model), **chosen)

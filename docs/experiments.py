"""The three experiments of EXPERIMENTS.md: prints their tables and draws their figures into docs/figures.

python docs/experiments.py crossfade   # 1: what an overlap-add crossfade does to a seam
python docs/experiments.py pipeline    # 2: T3 and S3Gen in one thread and in two
python docs/experiments.py context     # 3: how much a chunk must know
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import streamtts
from streamtts import continuity, pipeline, plots, seams, tune

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


if __name__ == "__main__":
    experiments = {"crossfade": crossfade, "pipeline": parallel, "context": context}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", choices=experiments)
    parser.add_argument("--model", help="mini (default), turbo, nano, a repository or a folder")
    options = parser.parse_args()
    experiments[options.experiment](streamtts.load(options.model))

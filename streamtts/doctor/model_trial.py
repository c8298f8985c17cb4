"""``streamtts doctor --model NAME``: one sentence spoken by a checkpoint, with its times, its seams and its faults.

So a user can check any checkpoint on any machine with one command. The stream is compared with one-shot decoding of the
same tokens, and T3 with the stock modules.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from ..audio import Samples, write_wav
from ..checkpoint.precision import Precision, formats
from ..generator import AudioChunk, Utterance, stream, synthesize
from ..loader import Model, describe, load
from ..seams import Verdict, analyse
from ..seams.continuity import tiles
from ..server.warm_model import SEVERAL, batching_model, why_one_place
from ..settings import SAMPLE_RATE, SAMPLES_PER_TOKEN, Settings
from ..t3.step import START
from .piece_length import longest_piece
from .precision_error import compare, forced_logits, say, summary
from .word_places import figure, heard_apart, word_places

TEXT = "The meeting is on Monday at three o'clock, and lunch is at half past twelve."
MARK_FOUND = 0.5  # confidence of the watermark's detector; it rounds to a mark from here on
MAX_LOGIT_ERROR = 1e-3  # of float32: a larger difference does not come from the order of additions


def try_out(
    checkpoint: str,
    device: str = "auto",
    out: str | None = None,
    settings: Settings | None = None,
    *,
    precision: Precision = "auto",
    compare_precision: bool = False,
    words_plot: str | None = None,
) -> int:
    """Load a checkpoint, speak a sentence, compare, and print the results.

    Args:
        checkpoint: As for :func:`streamtts.load`.
        device: As for :func:`streamtts.load`.
        out: WAV file to write the streamed audio to.
        settings: Of the stream.
        precision: As for :func:`streamtts.load`.
        compare_precision: Load the checkpoint a second time, to measure what the number format changes.
        words_plot: PNG file to draw T3's attention and the words' places to.

    Returns:
        0 when no fault was found, else 1.

    Raises:
        StreamTTSError: As :func:`streamtts.load` and :func:`streamtts.stream`.
    """
    settings = settings or Settings()
    began = time.perf_counter()
    model = load(checkpoint, device, precision=precision)
    _line("loaded", f"{describe(model)}; in {time.perf_counter() - began:.1f} s")
    _line("precision", f"{model.precision}: {model.precision_reason}")
    first = stream(model, TEXT, settings=settings)
    chunks, cold = list(first), first.stats
    warm = stream(model, TEXT, settings=settings).collect()
    _line("first audio", f"{cold.ttfa_ms:.0f} ms cold, {warm.stats.ttfa_ms:.0f} ms warm")
    _line("RTF", f"{cold.rtf:.3f} cold, {warm.stats.rtf:.3f} warm (under 1 is faster than real time)")
    stages = ", ".join(f"{name} {ms / warm.stats.audio_ms * 1e3:.0f}" for name, ms in warm.stats.stages.items())
    _line("stages", f"{stages} (ms per second of audio)")
    underrun = warm.stats.max_underrun_ms
    late = "not measured, since there is a single chunk" if underrun is None else f"{underrun:.0f} ms in all"
    _line("underruns", f"{late}, of a player that starts with the first chunk")
    places = word_places(model, TEXT, settings)
    heard = heard_apart(places)
    _line("word times", places.summary() + (f"; {heard}" if heard else ""))
    held = longest_piece(model)
    known = "not known: no attention head of T3 follows the text" if held is None else f"up to {held} characters"
    _line("whole texts", f"{known}; longer texts than {model.architecture.piece_chars} characters are split")
    faults = [fault for fault in _faults(model, chunks, warm, settings) if fault]
    _say_places(model, checkpoint, settings)
    if compare_precision:
        _say_difference(model, checkpoint, settings)
    if out:
        write_wav(out, warm.samples)
        _line("written", out)
    if words_plot:
        from ..seams.plots import to_png

        Path(words_plot).write_bytes(to_png(figure(places)))
        _line("written", words_plot)
    for fault in faults:
        _line("FAULT", fault)
    return 1 if faults else 0


def _line(name: str, value: str) -> None:
    print(f"{name:<12} {value}", flush=True)


def _say_places(model: Model, checkpoint: str, settings: Settings) -> None:
    """How many texts a server speaks at once with these settings if it is told no number."""
    if why := why_one_place(model, settings):
        _line("places", f"1: {why}")
    else:
        _line("places", f"{batching_model(checkpoint, model.device, settings).gpt2.max_batch_size}: {SEVERAL}")


def _say_difference(model: Model, checkpoint: str, settings: Settings) -> None:
    """What the number format changes against float32; for a model in float32, what the device's next format would."""
    wanted = formats(model.device)[1] if model.precision == "fp32" else "fp32"
    other = load(checkpoint, model.device, precision=wanted)  # type: ignore[arg-type]  # a name from formats()
    full, rounded = (model, other) if model.precision == "fp32" else (other, model)
    rows = compare(rounded, say(full, [TEXT], settings))
    _line(rounded.precision, f"against fp32: {summary(rows)}")


def _faults(model: Model, chunks: list[AudioChunk], spoken: Utterance, settings: Settings) -> Iterator[str]:
    """Compare and print; yields every fault found."""
    audio_s, tokens = len(spoken.samples) / SAMPLE_RATE, spoken.tokens
    loudest = float(np.abs(spoken.samples).max())
    _line("audio", f"{audio_s:.2f} s, {len(tokens)} tokens, {len(chunks)} chunks, peak {loudest:.2f}")
    if not np.isfinite(spoken.samples).all():
        yield "the audio has values that are not finite"
        return
    missing, repeated = tiles([(c.sample_offset, len(c.samples)) for c in chunks], SAMPLES_PER_TOKEN * len(tokens))
    if missing or repeated or len(spoken.samples) != SAMPLES_PER_TOKEN * len(tokens):
        yield f"{missing} samples are missing and {repeated} repeated, or two runs with one seed differ in length"
    apart = logits_apart(model, TEXT, tokens)
    _line("T3", f"logits differ by at most {apart:.1e} from those of the stock modules")
    if apart > MAX_LOGIT_ERROR and model.precision == "fp32":
        yield f"T3's logits differ by {apart:.1e} from those of the stock modules; {MAX_LOGIT_ERROR:.0e} is allowed"
    whole = synthesize(model, tokens=tokens, settings=settings)
    report = analyse(spoken.samples, spoken.seams, reference=whole.samples)
    _line("seams", report.sentence)
    if report.verdict is Verdict.AUDIBLE:
        yield f"seams can be heard: {report.sentence}"
    null, mel = report.null_test_db, report.log_mel_db
    _line("one-shot", f"log-mel distance of the stream {_or_not(mel)} dB, null test {_or_not(null)} dB")
    if settings.watermark:
        yield from _watermark_fault(model, spoken.samples)


def _watermark_fault(model: Model, samples: Samples) -> Iterator[str]:
    """The detector has one confidence for all of the audio, 0 to 1, and none of digital silence (not a number)."""
    found = float(model.tts.watermarker.get_watermark(samples, sample_rate=SAMPLE_RATE, round=False).mean())
    if not samples.any() or not np.isfinite(found):
        _line("watermark", "nothing to judge: the audio is digital silence")
        return
    _line("watermark", f"the detector's confidence is {found:.2f} (0 to 1; found from {MARK_FOUND})")
    if found < MARK_FOUND:
        yield f"the watermark is not found: the detector's confidence is {found:.2f}"


def _or_not(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.1f}"


@torch.inference_mode()
def logits_apart(model: Model, text: str, tokens: list[int]) -> float:
    """Largest difference between our T3's logits and those of the stock modules, for given speech tokens of a text.

    Ours follow the voice's cached prefix, token by token and then in blocks; the stock modules get all in one pass.
    """
    from chatterbox.tts_turbo import punc_norm

    t3, voice, device = model.tts.t3, model.voice(), model.device
    speech = [START, *(token for token in tokens if token < START)]
    text_tokens = model.tts.tokenizer(punc_norm(text), return_tensors="pt").input_ids.to(device)
    spoken = t3.speech_emb(torch.tensor([speech], device=device))
    x = torch.cat([t3.prepare_conditioning(voice.t3_cond), t3.text_emb(text_tokens), spoken], dim=1)
    stock = t3.speech_head(t3.tfmr(inputs_embeds=x)[0][0, -len(speech) :]).float().cpu()
    sizes = [1] * min(8, len(speech)) + [16] * (len(speech) // 16 + 1)
    ours = torch.cat(list(forced_logits(model, text, speech[1:], sizes)))
    return float((ours - stock).abs().max())

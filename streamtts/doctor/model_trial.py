"""``streamtts doctor --model NAME``: one sentence through a checkpoint, streamed and in one shot, with the figures.

What a checkpoint sounds like on a machine nobody tested is told by its own user in one command. Everything is compared
with the model itself: the stream with one-shot decoding of the same tokens, T3 with the stock modules.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import torch

from ..audio import write_wav
from ..checkpoint.precision import Precision, formats
from ..generator import AudioChunk, Utterance, stream, synthesize
from ..loader import Model, describe, load
from ..seams.judge import analyse
from ..seams.verdict import Verdict
from ..settings import SAMPLE_RATE, SAMPLES_PER_TOKEN, Settings
from ..t3.step import START
from .precision_error import compare, forced_logits, say, summary

TEXT = "The meeting is on Monday at three o'clock, and lunch is at half past twelve."
LOGITS_APART = 1e-3  # largest difference of float32 logits; more is another model, not another order of sums


def try_out(
    checkpoint: str,
    device: str = "auto",
    out: str | None = None,
    settings: Settings | None = None,
    *,
    precision: Precision = "auto",
    compare_precision: bool = False,
) -> int:
    """Load a checkpoint, speak, compare and print.

    Args:
        checkpoint: As for :func:`streamtts.load`.
        device: As there.
        out: WAV file to write the streamed audio to.
        settings: Of the stream.
        precision: As for :func:`streamtts.load`.
        compare_precision: Load the checkpoint once more, to say what the number format changes.

    Returns:
        0 when everything that was measured is as it should be, else 1.

    Raises:
        StreamTTSError: As :func:`streamtts.load` and :func:`streamtts.stream`.
    """
    settings = settings or Settings()
    began = time.perf_counter()
    model = load(checkpoint, device, precision=precision)
    _say("loaded", f"{describe(model)}; {time.perf_counter() - began:.1f} s")
    _say("precision", f"{model.precision}: {model.precision_reason}")
    first = stream(model, TEXT, settings=settings)
    chunks, cold = list(first), first.stats
    warm = stream(model, TEXT, settings=settings).collect()
    _say("first audio", f"{cold.ttfa_ms:.0f} ms cold, {warm.stats.ttfa_ms:.0f} ms warm")
    _say("RTF", f"{cold.rtf:.3f} cold, {warm.stats.rtf:.3f} warm (time / audio; under 1 keeps up)")
    stages = ", ".join(f"{name} {ms / warm.stats.audio_ms * 1e3:.0f}" for name, ms in warm.stats.stages.items())
    _say("stages", f"{stages} ms per second of audio")
    underrun = warm.stats.max_underrun_ms
    late = "not measured: a single chunk" if underrun is None else f"{underrun:.0f} ms at most"
    _say("underrun", f"{late}, for a player that starts at the first chunk")
    faults = [fault for fault in _faults(model, chunks, warm, settings) if fault]
    if compare_precision:
        _say_difference(model, checkpoint, settings)
    if out:
        write_wav(out, warm.samples)
        _say("written", out)
    for fault in faults:
        _say("FAULT", fault)
    return 1 if faults else 0


def _say(name: str, value: str) -> None:
    print(f"{name:<12} {value}", flush=True)


def _say_difference(model: Model, checkpoint: str, settings: Settings) -> None:
    """What the number format changes against float32; for a model in float32, what the first other one would."""
    wanted = formats(model.device)[1] if model.precision == "fp32" else "fp32"
    other = load(checkpoint, model.device, precision=wanted)  # type: ignore[arg-type]  # of those there are
    full, rounded = (model, other) if model.precision == "fp32" else (other, model)
    rows = compare(rounded, say(full, [TEXT], settings))
    _say(rounded.precision, f"against fp32: {summary(rows)}")


def _faults(model: Model, chunks: list[AudioChunk], spoken: Utterance, settings: Settings) -> Iterator[str]:
    """Compare and print; yields what is not as it should be."""
    audio_s, tokens = len(spoken.samples) / SAMPLE_RATE, spoken.tokens
    loudest = float(np.abs(spoken.samples).max())
    _say("audio", f"{audio_s:.2f} s, {len(tokens)} tokens, {len(chunks)} chunks, peak {loudest:.2f}")
    if not np.isfinite(spoken.samples).all():
        yield "the audio holds values that are no numbers"
        return
    if len(spoken.samples) != SAMPLES_PER_TOKEN * len(tokens) or len(spoken.samples) != sum(
        len(chunk.samples) for chunk in chunks
    ):
        yield "the chunks do not tile the utterance, or two runs with one seed differ in length"
    apart = logits_apart(model, TEXT, tokens)
    _say("T3", f"logits at most {apart:.1e} from the stock modules'")
    if apart > LOGITS_APART and model.precision == "fp32":
        yield f"T3's logits are {apart:.1e} from the stock modules', {LOGITS_APART:.0e} is allowed"
    whole = synthesize(model, tokens=tokens, settings=settings)
    report = analyse(spoken.samples, spoken.seams, reference=whole.samples)
    _say("seams", report.reason)
    if report.verdict is Verdict.AUDIBLE:
        yield f"seams can be heard: {report.reason}"
    step, null, mel = report.worst("step_ratio"), report.null_test_db, report.log_mel_db
    _say("", f"largest step {_or_not(step)} x the local median")
    _say("one-shot", f"{_or_not(null)} dB null test, {_or_not(mel)} dB log-mel distance of the stream from it")
    if settings.watermark:
        found = float(model.tts.watermarker.get_watermark(spoken.samples, sample_rate=SAMPLE_RATE).mean())
        _say("watermark", f"{found:.0%} of its bits found")


def _or_not(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.1f}"


@torch.inference_mode()
def logits_apart(model: Model, text: str, tokens: list[int]) -> float:
    """Largest difference between our T3's logits and the stock modules', for given speech tokens of a text.

    Ours go behind the voice's cached prefix, token by token and then in blocks; the stock modules see all at once.
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

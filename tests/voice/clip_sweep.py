"""Every clip length in steps of 10 ms: is it a voice, does it speak, and is that what stock code makes of it?

    python tests/voice/clip_sweep.py                                    # mini: 5 to 30 s, all policies
    python tests/voice/clip_sweep.py --seconds 5 10 --all-policies-every 7
    python tests/voice/clip_sweep.py --seconds 10 30 --sample 100           # so many lengths by chance
    python tests/voice/clip_sweep.py --random nano --step-ms 970 --seconds 5 10

Of every length the prompt must be whole tokens with two mel frames each, each policy must speak all tokens, and
one-shot must equal stock S3Gen with that clip: its log-mel within 2e-4 (1 in 50,000 of what it holds: rounding), and
stock's mel through this project's vocoder stock's samples within 1e-5. The samples are compared whole, too, within
1e-3: at a loud frame HiFT makes up to 3e-4 of such a rounding, as it does of stock's own mel times 1 +- 1e-6. Prints
the lengths that fail; exits with 1 if there are any.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import get_args
from unittest.mock import patch

import numpy as np
import soundfile
import torch
from stock_speech import stock_mel_and_speech

import streamtts
from streamtts.bench.random_checkpoint import ARCHITECTURES, write_checkpoint
from streamtts.hift.stream import HiftStream
from streamtts.settings import SAMPLES_PER_TOKEN, Policy, Settings
from streamtts.voice.clips import conditionals_of_clip
from streamtts.voice.recording import Recording

TOKENS = [4299, 100, 2000, 3000, 150, 4000, 50, 1234, 2222, 3333, 77, 4299]
MOST: dict[str, float] = {}  # how far apart one-shot and stock code were at most


def fault_of(model: streamtts.Model, clip: Recording, policies: tuple[Policy, ...]) -> str:
    """What is wrong with a clip as a voice; empty if nothing is."""
    conds = conditionals_of_clip(model.tts, clip)
    voice = model.add_voice("clip", conds)
    tokens, frames = voice.prompt_tokens.shape[1], voice.prompt_mel.shape[1]
    if frames != 2 * tokens or tokens != min(250, len(clip.samples) * 25 // clip.rate):
        return f"{tokens} tokens, {frames} frames"
    for policy in policies:
        said = streamtts.redecode(model, TOKENS, "clip", Settings(policy=policy, watermark=False)).collect()
        if len(said.samples) != len(TOKENS) * SAMPLES_PER_TOKEN:
            return f"{policy}: {len(said.samples)} samples"
    pushed: list[torch.Tensor] = []
    push = HiftStream.push
    with patch.object(HiftStream, "push", lambda *given, **kw: (pushed.append(given[1]), push(*given, **kw))[1]):
        whole = streamtts.synthesize(model, tokens=TOKENS, voice="clip", settings=Settings(seed=4, watermark=False))
    mel, stock = stock_mel_and_speech(model, voice, conds, TOKENS, seed=4)
    vocoded = HiftStream(model.tts.s3gen.mel2wav, seed=4).push(mel, last=True).numpy()
    muted = SAMPLES_PER_TOKEN  # stock code fades the start in
    apart = {
        "mel": (float((torch.cat(pushed, dim=2) - mel).abs().max()), 2e-4),
        "vocoder": (float(np.abs(vocoded - stock)[muted:].max()), 1e-5),
        "samples": (float(np.abs(whole.samples - stock).max()), 1e-3),
    }
    for what, (now, _) in apart.items():
        MOST[what] = max(MOST.get(what, 0.0), now)
    return "; ".join(
        f"{what} of one-shot and stock {now:.1e} apart" for what, (now, most) in apart.items() if now > most
    )


def main() -> int:
    """Try all lengths."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, nargs=2, default=(5.0, 30.0), metavar=("FIRST", "LAST"))
    parser.add_argument("--step-ms", type=int, default=10)
    parser.add_argument("--sample", type=int, metavar="N", help="only N of these lengths, drawn by chance")
    parser.add_argument(
        "--all-policies-every", type=int, default=1, metavar="N", help="other lengths speak under the default one alone"
    )
    parser.add_argument("--random", choices=sorted(ARCHITECTURES), help="a checkpoint of that size with random weights")
    options = parser.parse_args()
    speech, rate = soundfile.read(Path(__file__).parents[2] / "voices/heart-low.wav", dtype="float32")
    speech = np.tile(speech, 3)
    began, faults, under_all = time.monotonic(), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = write_checkpoint(Path(folder) / options.random, options.random) if options.random else None
        model = streamtts.load(checkpoint, "cpu", precision="fp32")  # the reference
        first, last = (round(s * 1000) for s in options.seconds)
        lengths = list(range(first, last + 1, options.step_ms))
        if options.sample:
            lengths = sorted(random.Random(0).sample(lengths, options.sample))
        for n, ms in enumerate(lengths):
            every = n % options.all_policies_every == 0
            under_all += every
            try:
                clip = Recording(speech[: ms * rate // 1000], rate)
                fault = fault_of(model, clip, get_args(Policy) if every else (Settings().policy,))
            except streamtts.StreamTTSError as e:
                fault = e.message
            faults += bool(fault)
            if fault:
                print(f"{ms / 1000:.2f} s: {fault}", flush=True)
            if n % 50 == 49:
                print(f"{n + 1} lengths, {time.monotonic() - began:.0f} s", flush=True)
    took = time.monotonic() - began
    print(f"{model.engine}: {len(lengths)} lengths, {under_all} under all policies, {faults} faults, {took:.0f} s")
    print("one-shot and stock apart at most: " + ", ".join(f"{what} {most:.1e}" for what, most in MOST.items()))
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())

"""A voice made from a clip, and its speech, are the same bits with stand-in imports and with the real modules."""

import subprocess
import sys

REAL = "import chatterbox.tts_turbo, perth\n"
SPOKEN = """
import hashlib, sys
import soundfile, torch
import streamtts
from streamtts.voice.clips import conditionals_of_clip
from streamtts.voice.recording import Recording

model = streamtts.load(None, "cpu")
import chatterbox.models.voice_encoder.melspec as stock
print(type(stock.librosa).__name__, file=sys.stderr)
for clip in ("heart", "heart-low"):
    speech, rate = soundfile.read(f"voices/{clip}.wav", dtype="float32")
    conds = conditionals_of_clip(model.tts, Recording(speech[: 6 * rate], rate))
    model.add_voice("clip", conds)
    tensors = [*vars(conds.t3).values(), *conds.gen.values()]
    tensors.append(torch.from_numpy(streamtts.stream(model, "Hello.", "clip").collect().samples))
    for tensor in filter(torch.is_tensor, tensors):
        print(tuple(tensor.shape), hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest())
"""


def test_a_voice_from_a_clip_is_the_same_with_the_real_modules():
    both = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for code in (SPOKEN, REAL + SPOKEN)
    ]
    assert [run.stderr.split().count("_Deferred") for run in both] == [1, 0]  # the second has the real librosa
    assert both[0].stdout == both[1].stdout
    assert both[0].stdout.count("(1, 256)") == 2

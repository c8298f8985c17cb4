#!/usr/bin/env bash
# Packages: chatterbox-tts 0.1.7 (torch 2.6.0), setuptools 80.9.0; Python 3.11.
#
# Behaviour: a voice clip whose length is no multiple of 40 ms costs every utterance 20 ms of speech. `S3Gen.embed_ref`
# notices that mel frames and tokens of the clip do not match, logs a warning and cuts the *tokens*; the mel keeps its
# odd frame. `flow_inference` then takes that frame out of the speech: n tokens give 2 n - 1 mel frames, not 2 n. One
# would expect the mel to be cut to two frames a token. Weights play no part, so random ones are used.
#
# Output seen:
#   5.00 s clip: 125 tokens, 250 mel frames; 40 speech tokens -> 80 frames
#   5.02 s clip: 125 tokens, 251 mel frames; 40 speech tokens -> 79 frames
#
# Exits with 1 if this has changed. Downloads some 3 GB, needs 8 GB of disk.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3.11}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet chatterbox-tts==0.1.7 setuptools==80.9.0
"$work/venv/bin/python" - <<'PYTHON'
import logging
import sys

import numpy as np
import torch
from chatterbox.models.s3gen import S3Gen

logging.disable(logging.WARNING)
torch.manual_seed(0)
s3gen = S3Gen(meanflow=True).eval()
seen = []
for seconds in (5.0, 5.02):
    at = np.arange(round(seconds * 24_000)) / 24_000
    clip = (0.1 * np.sin(2 * np.pi * 150 * at) * (1 + np.sin(2 * np.pi * 4 * at))).astype(np.float32)
    with torch.inference_mode():
        ref = s3gen.embed_ref(clip, 24_000, device="cpu")
        mel = s3gen.flow_inference(torch.arange(40)[None], ref_dict=ref, finalize=True, n_cfm_timesteps=2)
    tokens, frames = ref["prompt_token"].shape[1], ref["prompt_feat"].shape[1]
    print(f"{seconds:.2f} s clip: {tokens} tokens, {frames} mel frames; 40 speech tokens -> {mel.shape[2]} frames")
    seen.append((tokens, frames, mel.shape[2]))
sys.exit(0 if seen == [(125, 250, 80), (125, 251, 79)] else 1)
PYTHON

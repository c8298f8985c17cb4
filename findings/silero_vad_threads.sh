#!/usr/bin/env bash
# Packages: silero-vad 6.2.3, torch 2.13.0 (its build for CPUs), numpy 2.2.6; Python 3.11.
#
# Behaviour: `import silero_vad` sets the number of PyTorch's threads to 1 for the whole process, whatever was set
# before, and does not set it back. Everything else in that process that uses PyTorch on the CPU (a speech synthesiser
# that looks for speech in a clip, say) is slower from then on. One would expect the setting to hold for the detector's own
# calls only. Putting the number back after the import works; the detector does not set it again.
#
# Output seen:
#   before the import: 3 threads
#   after the import: 1 thread
#   set back to 3, detector loaded and used: 3 threads
#
# Exits with 1 if this has changed. Downloads some 250 MB (torch without CUDA, from PyTorch's own index), needs 1 GB of disk.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3.11}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --extra-index-url https://download.pytorch.org/whl/cpu \
    silero-vad==6.2.3 torch==2.13.0 numpy==2.2.6
"$work/venv/bin/python" - <<'PYTHON'
import sys

import torch

torch.set_num_threads(3)
seen = [torch.get_num_threads()]
print(f"before the import: {seen[-1]} threads")
import silero_vad

seen.append(torch.get_num_threads())
print(f"after the import: {seen[-1]} thread{'s' * (seen[-1] != 1)}")
torch.set_num_threads(3)
silero_vad.get_speech_timestamps(torch.zeros(16_000), silero_vad.load_silero_vad(), sampling_rate=16_000)
seen.append(torch.get_num_threads())
print(f"set back to 3, detector loaded and used: {seen[-1]} threads")
sys.exit(0 if seen == [3, 1, 3] else 1)
PYTHON

#!/usr/bin/env bash
# Collects as wheels what `streamtts doctor --gpu` needs on a machine with a GPU and PyTorch, but without an index of
# packages: chatterbox-tts and its small needs, in the versions of requirements-current.lock.
#   .ci/wheels.sh FOLDER    here; then there, in a copy of this repository:
#   pip install --no-deps --no-index FOLDER/*.whl && python -m streamtts doctor --gpu --out gpu-check
# For Python 3.12 on Linux x86-64. What such a machine has is not collected (PyTorch, torchaudio, transformers, NumPy,
# SciPy, matplotlib), nor are onnxruntime and babel, which that check does without: they alone are 36 MiB.
# It fails where the folder would be over 60 MiB.
set -euo pipefail
cd "$(dirname "$0")/.."

LARGEST_MIB=60
WANTED=(
    anyascii cffi chatterbox-tts conformer diffusers einops importlib-metadata ml-dtypes omegaconf onnx platformdirs
    protobuf psutil pycparser pyloudnorm resemble-perth s3tokenizer sentencex soundfile soxr zipp
)
folder=${1:?a folder for the wheels}
python=${PYTHON:-.venv/bin/python}

pins=$(mktemp)
trap 'rm -f "$pins"' EXIT
for name in "${WANTED[@]}"; do
    grep -E "^$name==" requirements-current.lock | grep -v "< '3.12'" | cut -d' ' -f1 >> "$pins" || {
        echo "$name is not in requirements-current.lock" >&2
        exit 1
    }
done
mkdir -p "$folder"
platforms=()
for glibc in 28 27 24 17 12 5; do
    platforms+=(--platform "manylinux_2_${glibc}_x86_64")
done
"$python" -m pip download --quiet --no-deps --only-binary :all: --python-version 3.12 --implementation cp \
    --abi cp312 --abi abi3 --abi none "${platforms[@]}" --requirement "$pins" --dest "$folder"
mib=$(du -sm "$folder" | cut -f1)
echo "$folder: $(ls "$folder" | wc -l) wheels, $mib MiB"
[ "$mib" -le $LARGEST_MIB ] || {
    echo "more than $LARGEST_MIB MiB" >&2
    exit 1
}

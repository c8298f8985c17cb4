#!/usr/bin/env bash
# Makes .venv and installs a lock and this package into it. Safe to repeat: when pyproject.toml, the lock and the Python
# are those of the last run, it does nothing.
#   STACK=pinned   what chatterbox-tts pins: torch 2.6.0. The default; needs Python 3.11 to 3.13
#   STACK=current  newest PyTorch and NumPy 2; Python 3.11 to 3.14, for newer NVIDIA cards
#   TORCH=cpu      PyTorch from its own index for CPUs, without CUDA libraries; TORCH=cuda, the default, from PyPI
#   PYTHON=...     the interpreter
#   VENV=...       the environment's folder, .venv if not given
# A .venv stays what it is until STACK or TORCH says otherwise.
set -euo pipefail
cd "$(dirname "$0")/.."

OLDEST=11 NEWEST=14 # Python 3.x; the same as requires-python in pyproject.toml
NEWEST_PINNED=13    # torch 2.6.0 has no wheels for newer ones
venv=${VENV:-.venv}
stamp=$venv/streamtts.stamp

fail() {
    printf 'streamtts set-up: %s\n' "$@" >&2
    exit 1
}

minor_of() { # the x of Python 3.x, nothing if the command does not run or is not Python 3
    "$1" -c 'import sys; print(sys.version_info[1]) if sys.version_info[0] == 3 else None' 2>/dev/null || true
}

fits() {
    local minor
    minor=$(minor_of "$1")
    [ -n "$minor" ] && [ "$minor" -ge $OLDEST ] && [ "$minor" -le "$newest" ]
}

hint() {
    if [ "$stack" = pinned ] && [ "$(minor_of "${PYTHON:-python3}")" = 14 ]; then
        echo "torch 2.6.0 has no wheels for 3.14: use the other stack, make STACK=current ..."
    else
        echo "Newer ones lack PyTorch's wheels, older ones JupyterLab 4.6."
    fi
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.11 python3 python3.13 python3.12 python3.14}; do
        if fits "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    local seen
    seen=$("${PYTHON:-python3}" --version 2>&1) || seen="no ${PYTHON:-python3} that runs"
    fail "Stack $stack needs Python 3.$OLDEST to 3.$newest; found $seen." \
        "$(hint)" \
        "Install one (Debian: apt-get install python3 python3-venv) or name it: make PYTHON=/path/to/python3.11 ..." \
        "With conda: conda env create -f environment.yml"
}

kept=$(cat $venv/streamtts.stack 2>/dev/null || echo "pinned cuda")
stack=${STACK:-${kept% *}} torch=${TORCH:-${kept#* }}
case $stack in
pinned) lock=requirements.lock newest=$NEWEST_PINNED ;;
current) lock=requirements-current.lock newest=$NEWEST ;;
*) fail "STACK=$stack is unknown: pinned or current" ;;
esac
case $torch in
cpu | cuda) ;;
*) fail "TORCH=$torch is unknown: cuda or cpu" ;;
esac

key() { # changes when anything that decides what is installed does
    cat pyproject.toml $lock .ci/setup.sh | cksum
    echo "$stack $torch"
    "$venv/bin/python" -c 'import sys; print(sys.version, sys.prefix)'
}

if [ -f $stamp ] && [ "$(key 2>/dev/null)" = "$(cat $stamp)" ]; then
    exit 0
fi

if [ -f $venv/streamtts.stack ] && [ "$stack $torch" != "$kept" ]; then
    echo "streamtts set-up: $venv holds stack $kept; making it anew for $stack $torch"
    rm -rf $venv
fi
if ! fits $venv/bin/python; then # missing, or its interpreter is gone or too old
    python=$(find_python)
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$("$python" --version) has no venv or pip module." \
            "Install them (Debian, Ubuntu: apt-get install python3-venv) and run the same command again."
    echo "streamtts set-up: making $venv with $("$python" --version)"
    rm -rf $venv
    "$python" -m venv $venv
fi
if [ "$(df -Pk . | awk 'NR == 2 { print $4 }')" -lt 8800000 ] && [ ! -f $stamp ]; then
    echo "streamtts set-up: less than 9 GB are free here; torch and its libraries need about 8" >&2
fi

chosen=$venv/streamtts.lock
rm -f $stamp # an interrupted installation is not taken for a finished one
export PIP_DISABLE_PIP_VERSION_CHECK=1
if [ "$torch" = cpu ]; then # PyTorch alone comes from that index; what it brings for CUDA is left out
    grep -vE '^(nvidia-|cuda-|triton|torch==|torchaudio==)' $lock > $chosen
    size=1
    echo "streamtts set-up: installing PyTorch for CPUs"
    grep -E '^(torch|torchaudio)==' $lock > $chosen.torch
    $venv/bin/python -m pip install --quiet --no-deps --index-url https://download.pytorch.org/whl/cpu \
        --requirement $chosen.torch ||
        fail "PyTorch's index for CPUs could not be used; pip's message is above." \
            "make TORCH=cuda ... takes PyTorch from the usual index: 2 GB more, and it runs without a GPU, too."
else
    size=3
    cp $lock $chosen
fi
echo "streamtts set-up: installing exact versions of stack $stack; the first time this downloads $size GB, some minutes"
# The lock is complete, and leaves out what chatterbox-tts asks for and Turbo never imports.
$venv/bin/python -m pip install --quiet --no-deps --requirement $chosen ||
    fail "pip could not install $lock; its message is above. Run the same command again to go on."
# The lock already holds everything: our own package is only linked, with the setuptools that was just installed.
$venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
# So that the first start is not slower than later ones, and the first clip not by a quarter of a minute: numba compiles
# librosa's functions once. Two processes that did so at the same time could keep a mixture that crashes every process
# after them (numba issue 10128).
$venv/bin/python -m compileall -q streamtts || true
$venv/bin/python -c 'import numpy; from streamtts.audio import f0_track; f0_track(numpy.ones(24_000, "float32"))' || true
echo "$stack $torch" > $venv/streamtts.stack
key > $stamp
echo "streamtts set-up: done"

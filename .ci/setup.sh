#!/usr/bin/env bash
# Makes .venv and installs requirements.lock and this package into it. Safe to repeat: when pyproject.toml, the lock and
# the Python are those of the last run, it does nothing. PYTHON=... chooses the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."

OLDEST=11 NEWEST=13 # Python 3.x; the same as requires-python in pyproject.toml
venv=.venv
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
    [ -n "$minor" ] && [ "$minor" -ge $OLDEST ] && [ "$minor" -le $NEWEST ]
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.11 python3 python3.13 python3.12}; do
        if fits "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    local seen
    seen=$("${PYTHON:-python3}" --version 2>&1) || seen="no ${PYTHON:-python3} that runs"
    fail "Python 3.$OLDEST to 3.$NEWEST is needed; found $seen." \
        "Newer ones lack the pinned torch 2.6.0, older ones JupyterLab 4.6." \
        "Install one (Debian: apt-get install python3 python3-venv) or name it: make PYTHON=/path/to/python3.11 ..." \
        "With conda: conda env create -f environment.yml"
}

key() { # changes when anything that decides what is installed does
    cat pyproject.toml requirements.lock .ci/setup.sh | cksum
    "$venv/bin/python" -c 'import sys; print(sys.version, sys.prefix)'
}

if [ -f $stamp ] && [ "$(key 2>/dev/null)" = "$(cat $stamp)" ]; then
    exit 0
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

echo "streamtts set-up: installing exact versions; the first time this downloads about 3 GB, some minutes"
rm -f $stamp # an interrupted installation is not taken for a finished one
export PIP_DISABLE_PIP_VERSION_CHECK=1
$venv/bin/python -m pip install --quiet --requirement requirements.lock ||
    fail "pip could not install requirements.lock; its message is above. Run the same command again to go on."
# The lock already holds everything: our own package is only linked, with the setuptools that was just installed.
$venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
key > $stamp
echo "streamtts set-up: done"

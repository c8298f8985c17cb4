#!/usr/bin/env bash
# Writes the lock of each stack anew from pyproject.toml: exact versions for every supported Python and system.
#   requirements.lock          pinned: what chatterbox-tts itself pins, Python 3.11 to 3.13
#   requirements-current.lock  current: newest PyTorch, NumPy 2 (.ci/stacks/current.txt), Python 3.11 to 3.14
# Both leave out what is never imported (.ci/stacks/unused.txt), so they are installed with `pip install --no-deps`.
# Only wheels are chosen, so that installing needs no compiler. Run it after a change of the dependencies, then commit.
# Versions that a lock holds already are kept; UPGRADE=yes takes the newest of everything. The extras "ray" and
# "pipecat" are left out: they hold other packages back.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet uv

lock() { # lock STACK FILE DROPPED [MORE OPTIONS]: DROPPED is a pattern of markers that no supported Python meets
    local stack=$1 file=$2 dropped=$3
    shift 3
    cp "$file" "$work/resolved" 2>/dev/null || cp requirements.lock "$work/resolved"
    "$work/venv/bin/uv" pip compile pyproject.toml --extra notebook --extra test --extra train \
        --extra metrics --extra livekit --extra wyoming --universal --no-build \
        --python-version 3.11 ${UPGRADE:+--upgrade} --no-emit-index-url --no-annotate --no-header --quiet \
        --override .ci/stacks/unused.txt "$@" --output-file "$work/resolved"
    {
        echo "# Exact versions of everything, for stack \"$stack\". Made by .ci/lock.sh from pyproject.toml."
        grep -vE "sys_platform == 'none'|$dropped" "$work/resolved"
    } > "$file"
    echo "$file: $(grep -c == "$file") pins"
}

lock pinned requirements.lock "python_full_version (>=|==) '3\.14"
lock current requirements-current.lock "python_full_version (>=|==) '3\.15" --override .ci/stacks/current.txt

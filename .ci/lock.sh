#!/usr/bin/env bash
# Writes requirements.lock anew from pyproject.toml: one file of exact versions for every supported Python and system.
# Only wheels are chosen, so that installing needs no compiler. Run it after a change of the dependencies, then commit.
# Versions that the lock holds already are kept; UPGRADE=yes takes the newest of everything. The extra "ray" is left out;
# docs/server.md says how to install it.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet uv

cp requirements.lock "$work/resolved" 2>/dev/null || true
"$work/venv/bin/uv" pip compile pyproject.toml --extra test --extra train --extra metrics --universal --no-build \
    --python-version 3.11 ${UPGRADE:+--upgrade} --no-emit-index-url --no-annotate --no-header --quiet \
    --output-file "$work/resolved"
{
    echo "# Exact versions of everything, for pip and conda alike. Made by .ci/lock.sh from pyproject.toml."
    # The resolver looks past our upper bound on Python; what only 3.14 and later would need is left out.
    grep -vE "python_full_version (>=|==) '3\.14" "$work/resolved"
} > requirements.lock
echo "requirements.lock: $(grep -c == requirements.lock) pins"

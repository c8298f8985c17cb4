#!/usr/bin/env bash
# Makes sure that chromium and its driver are here for the browser tests. Does nothing when they are.
set -uo pipefail

if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then
    exit 0
fi

give_up() {
    printf 'browser tests: %s\n' "$1" \
        "They need chromium and chromedriver on PATH (Debian: apt-get install chromium chromium-driver)." \
        "To run everything but the browser tests: make test BROWSER=no" >&2
    exit 1
}

command -v apt-get >/dev/null || give_up "chromium is missing, and without apt-get it is not installed by itself."
as_root=()
if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || give_up "chromium is missing, and installing it needs root."
    as_root=(sudo -n)
fi

echo "browser tests: installing chromium"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
{
    "${as_root[@]}" apt-get update &&
        "${as_root[@]}" apt-get install --yes --no-install-recommends chromium chromium-driver
} >"$log" 2>&1 || {
    tail -n 20 "$log" >&2
    give_up "apt-get could not install chromium; its last lines are above."
}

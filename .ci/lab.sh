#!/usr/bin/env bash
# Opens the first notebook in JupyterLab; where there is no display, JupyterLab prints the notebook's address instead.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=${VENV:-.venv}
notebook=${NOTEBOOK:-notebooks/01_stream.ipynb}
options=(
    # Nothing here needs the network: no news, no look for a newer JupyterLab.
    --LabApp.news_url=None
    --LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate
    "--LabApp.default_url=/lab/tree/${notebook##*/}" # the printed address opens the notebook; its folder is the root
)
# The page would still ask whether it may fetch news. This is a default of this environment alone; a user's own settings come first.
overrides=$venv/share/jupyter/lab/settings/overrides.json
if [ ! -e "$overrides" ]; then
    mkdir -p "$(dirname "$overrides")"
    echo '{"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": false}}' > "$overrides"
fi
if [ "$(uname)" != Darwin ] && [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    options+=(--no-browser)
    echo "No display here: open the http://... address that JupyterLab prints below."
    echo "From another machine, forward the port (ssh -L 8888:localhost:8888): sound needs a localhost or https address."
fi
if [ "$(id -u)" = 0 ]; then
    options+=(--allow-root) # in a container there is often no other user; JupyterLab refuses root otherwise
fi
exec "$venv/bin/jupyter" lab "${options[@]}" "$notebook" "$@"

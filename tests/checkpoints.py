"""A model hub on this machine: the few answers of the Hugging Face API that a download asks for."""

from __future__ import annotations

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

REVISION = "0123456789abcdef0123456789abcdef01234567"


def hub_cache(cache: Path, repository: str, folder: Path) -> Path:
    """Lay a checkpoint folder into a Hugging Face cache, as a download does; returns the snapshot."""
    root = cache / f"models--{repository.replace('/', '--')}"
    (root / "snapshots").mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(REVISION)
    snapshot = root / "snapshots" / REVISION
    snapshot.symlink_to(folder, target_is_directory=True)
    return snapshot


@contextmanager
def hub(repository: str, folder: Path, status: int = 200):
    """Serve a folder as a repository; yields (url, requests), the latter growing as (method, path, headers).

    Args:
        status: What every request is answered with, if not 200.
    """
    requests: list[tuple[str, str, dict[str, str]]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            requests.append((self.command, path, {k.lower(): v for k, v in self.headers.items()}))
            files = sorted(p for p in folder.iterdir() if p.is_file())
            if status != 200:
                code = {401: "GatedRepo", 404: "RepoNotFound"}.get(status, "")
                self.answer(b"{}", {"X-Error-Code": code, "X-Error-Message": "no"}, status)
            elif path.startswith(f"/api/models/{repository}/tree/"):
                tree = [
                    {"type": "file", "path": p.name, "size": p.stat().st_size, "oid": _oid(p.read_bytes())}
                    for p in files
                ]
                self.answer(json.dumps(tree).encode())
            elif path.startswith(f"/api/models/{repository}"):
                siblings = [{"rfilename": p.name} for p in files]
                self.answer(json.dumps({"id": repository, "sha": REVISION, "siblings": siblings}).encode())
            elif path.startswith(f"/{repository}/resolve/{REVISION}/"):
                content = (folder / path.rpartition("/")[2]).read_bytes()
                first = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
                headers = {"ETag": f'"{_oid(content)}"', "X-Repo-Commit": REVISION, "Accept-Ranges": "bytes"}
                if first:
                    headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
                self.answer(content[first:], headers, 206 if first else 200)
            else:
                self.answer(b"{}", {"X-Error-Code": "EntryNotFound"}, 404)

        do_HEAD = do_GET

        def answer(self, body: bytes, headers: dict[str, str] | None = None, code: int = 200) -> None:
            self.send_response(code)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _oid(content: bytes) -> str:
    """Git's name of a blob."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

"""Weights come from Hugging Face's hub whole and right, or one line says why not; all of it over loopback."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from models.sources import hugging_face
from models.sources.hugging_face import HubUnavailable

pytestmark = pytest.mark.slow

BODY = bytes(range(256)) * 12_000
FILES = {
    "/timm/whole/resolve/main/model.safetensors": BODY,
    "/timm/altered/resolve/main/model.safetensors": BODY,
    "/timm/old/resolve/main/pytorch_model.bin": BODY,
}
PROGRAM = """
import json, sys
from models.sources import hugging_face
told = []
try:
    path = hugging_face.download(sys.argv[1], lambda *numbers: told.append(numbers))
    found = [str(path), str(hugging_face.cached(sys.argv[1])), told[-1]]
except Exception as error:
    found = [type(error).__name__, str(error), str(hugging_face.cached(sys.argv[1]))]
print(json.dumps(found))
"""


class Hub(BaseHTTPRequestHandler):
    """Answers as the hub does for small files."""

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_GET(self) -> None:
        self._answer(FILES.get(self.path, b""))

    def _answer(self, body: bytes) -> None:
        found = FILES.get(self.path)
        self.send_response(404 if found is None else 200)
        self.send_header("X-Repo-Commit", "a" * 40)
        if found is None:
            self.send_header("X-Error-Code", "EntryNotFound" if "/old/" in self.path else "RepoNotFound")
        digest = hashlib.sha256(b"altered" if "/altered/" in self.path else BODY).hexdigest()
        self.send_header("ETag", f'"{digest}"')
        self.send_header("Content-Length", str(len(found or b"")))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def download(hub: str, home: Path, repository: str) -> list[Any]:
    """Downloads in a process of its own: the library reads its variables when it is imported."""
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-c", PROGRAM, repository]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("repository", ["timm/whole", "timm/old"])
def test_whole_file_arrives_in_the_cache_and_its_progress_is_told(hub, tmp_path, repository):
    path, cached, told = download(hub, tmp_path, repository)
    assert path == cached and Path(path).read_bytes() == BODY
    assert Path(path).suffix == (".bin" if repository == "timm/old" else ".safetensors")
    assert told == [len(BODY), len(BODY)]


def test_file_with_another_digest_than_the_hub_names_is_deleted(hub, tmp_path):
    kind, message, cached = download(hub, tmp_path, "timm/altered")
    assert (kind, message, cached) == ("WrongDigest", hashlib.sha256(BODY).hexdigest(), "None")


def test_repository_that_is_not_there_is_one_line(hub, tmp_path):
    kind, message, _ = download(hub, tmp_path, "timm/absent")
    assert kind == "HubUnavailable" and "\n" not in message and len(message) <= 200


def test_hub_that_does_not_answer_is_one_line_at_once(tmp_path):
    kind, message, _ = download("http://127.0.0.1:9", tmp_path, "timm/whole")
    assert kind == "HubUnavailable" and "refused" in message


def test_without_the_package_nothing_is_cached_and_a_download_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert hugging_face.cached("timm/whole") is None
    with pytest.raises(
        HubUnavailable, match=r"needs the Python package huggingface_hub: pip install 'tapetum\[timm\]'"
    ):
        hugging_face.download("timm/whole")

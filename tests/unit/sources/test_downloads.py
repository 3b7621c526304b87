"""A download is whole and right, or leaves nothing behind; all of it over loopback."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from models.sources.downloads import WrongDigest, download

BODY = bytes(range(256)) * 12_000
DIGEST = hashlib.sha256(BODY).hexdigest()


class Server(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/absent":
            return self.send_error(404)
        self.send_response(200)
        if self.path != "/unsized":
            self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        return self.wfile.write(BODY[: len(BODY) // 2] if self.path == "/cut" else BODY)

    def log_message(self, format, *args):
        pass


@pytest.fixture(scope="module")
def address():
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_whole_file_arrives_and_its_progress_is_told(address, tmp_path):
    told = []
    path = tmp_path / "new" / "weights.pth"
    download(f"{address}/file", path, DIGEST[:8], lambda *numbers: told.append(numbers))
    assert path.read_bytes() == BODY
    assert told[-1] == (len(BODY), len(BODY)) and len(told) == 3
    assert [received for received, _ in told] == sorted(received for received, _ in told)
    assert list(path.parent.iterdir()) == [path]


def test_a_server_that_tells_no_size_is_told_as_zero(address, tmp_path):
    told = []
    download(f"{address}/unsized", tmp_path / "weights.pth", "", lambda *numbers: told.append(numbers))
    assert told[-1] == (len(BODY), 0)


def test_a_file_with_another_digest_is_not_kept(address, tmp_path):
    with pytest.raises(WrongDigest, match=DIGEST):
        download(f"{address}/file", tmp_path / "weights.pth", "00000000")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("page", ["cut", "absent"])
def test_a_download_that_fails_leaves_nothing(address, tmp_path, page):
    with pytest.raises(OSError):
        download(f"{address}/{page}", tmp_path / "weights.pth", "")
    assert list(tmp_path.iterdir()) == []


def test_a_closed_port_is_an_os_error(tmp_path):
    with pytest.raises(OSError):
        download("http://127.0.0.1:9/file", tmp_path / "weights.pth", "")

"""Which addresses, keys and proxies the client takes, and what it says where no server is there."""

from __future__ import annotations

import socket
import time

import pytest

from services.client import AsyncClient, Client, TapetumError


def test_a_server_that_is_not_there_is_unreachable_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    started_at = time.monotonic()
    with Client(f"127.0.0.1:{port}", timeout_s=20) as client, pytest.raises(TapetumError) as caught:
        client.ready()
    assert caught.value.code == "unreachable"
    assert caught.value.status is None
    assert time.monotonic() - started_at < 5


def test_a_server_that_never_answers_is_timed_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with Client(address, max_retries=0) as client, pytest.raises(TapetumError) as caught:
            client.classify(b"cat", timeout_s=0.05)
    assert caught.value.code == "timed_out"


@pytest.mark.parametrize("url", ["ftp://host", "http://", "http://host:port"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is not an"):
        Client(url)


def test_a_key_that_no_header_can_carry_is_refused() -> None:
    with pytest.raises(ValueError, match="key"):
        Client(api_key="two\nlines")


@pytest.mark.parametrize("name", ["ALL_PROXY", "all_proxy", "http_proxy", "HTTP_PROXY", "https_proxy"])
@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "http://127.0.0.1:9", "nonsense://"])
@pytest.mark.parametrize("url", ["http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1", "localhost:1"])
def test_server_on_this_machine_is_asked_without_a_proxy(
    monkeypatch: pytest.MonkeyPatch, name: str, proxy: str, url: str
):
    monkeypatch.setenv(name, proxy)
    with Client(url, max_retries=0) as client, pytest.raises(TapetumError) as caught:
        client.ready()
    assert caught.value.code == "unreachable"


def test_socks_proxy_is_named_as_the_reason(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    with pytest.raises(ValueError, match=r"a SOCKS proxy: install httpx\[socks\], or add example.org to NO_PROXY"):
        Client("http://example.org")


def test_proxy_that_cannot_be_used_is_named_as_the_reason(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", "nonsense://127.0.0.1")
    with pytest.raises(ValueError, match="proxy settings of the environment cannot be used"):
        AsyncClient("http://example.org")

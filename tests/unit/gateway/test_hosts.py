"""Loopback addresses, and the proxies that they are not reached through."""

from __future__ import annotations

import urllib.request

import httpx
import pytest

from services.machine.hosts import bypass_proxies, is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "LOCALHOST", "::1"])
def test_loopback_is_known(host: str):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", "localhost.example.org", ""])
def test_other_hosts_are_not_loopback(host: str):
    assert not is_loopback(host)


def test_loopback_is_exempt_beside_what_is_exempt_already():
    environment = {"http_proxy": "http://proxy:1", "NO_PROXY": "corp.example, localhost"}
    bypass_proxies(environment)
    assert environment["NO_PROXY"] == environment["no_proxy"] == "corp.example,localhost,127.0.0.1,::1"
    assert environment["http_proxy"] == "http://proxy:1"
    assert "no_grpc_proxy" not in environment


def test_grpc_gets_the_same_where_it_has_a_list_of_its_own():
    environment = {"no_grpc_proxy": "corp.example"}
    bypass_proxies(environment)
    assert environment["no_grpc_proxy"] == "corp.example,127.0.0.1,localhost,::1"


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_proxy_of_the_environment_stays_in_use_for_other_hosts(monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    bypass_proxies()
    assert urllib.request.proxy_bypass("127.0.0.1")
    assert not urllib.request.proxy_bypass("example.org")
    with pytest.raises(httpx.ConnectError):
        httpx.get("http://127.0.0.1:1")

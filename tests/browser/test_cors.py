"""Pages of other origins in a real browser: those of `TAPETUM_CORS_ORIGINS` can call the API, and no others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser.apart import gateway_apart
from tests.unit.gateway_fakes import png

pytestmark = pytest.mark.integration

KEY = "a-key-of-this-test"
CLASSIFY = """async ([url, key, photo]) => {
    const body = Uint8Array.from(photo)
    const headers = {"content-type": "image/png", "x-api-key": key, "x-request-id": "from-a-page"}
    try {
        const response = await fetch(`${url}/v1/classify`, {method: "POST", headers, body})
        return {
            status: response.status,
            model: (await response.json()).model,
            requestId: response.headers.get("x-request-id"),
            timing: response.headers.get("server-timing"),
        }
    } catch (error) {
        return String(error)
    }
}"""
"""Needs a preflight request, for its headers are not simple ones; reads two headers of the response."""


class EmptyPage(BaseHTTPRequestHandler):
    """Answers every GET with a page that has nothing on it."""

    def do_GET(self) -> None:
        body = b"<!doctype html><title>elsewhere</title>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """Another origin, with pages."""
    with ThreadingHTTPServer(("127.0.0.1", 0), EmptyPage) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def classified_from(browser: Browser, page_url: str, **settings: Any) -> Any:
    """What a page gets that calls a gateway with these settings."""
    with gateway_apart("noop", **settings) as gateway, closing(browser.new_page()) as page:
        page.goto(page_url)
        return page.evaluate(CLASSIFY, [gateway.url, KEY, list(png())])


def test_page_of_an_allowed_origin_can_call_the_api_and_read_its_headers(browser: Browser, elsewhere: str):
    answer = classified_from(browser, elsewhere, cors_origins=(elsewhere,), api_keys=(KEY,))
    assert (answer["status"], answer["model"], answer["requestId"]) == (200, "noop", "from-a-page")
    assert "read;dur=" in answer["timing"]


def test_page_of_an_allowed_origin_can_read_why_its_key_is_refused(browser: Browser, elsewhere: str):
    answer = classified_from(browser, elsewhere, cors_origins=(elsewhere,), api_keys=("another-key",))
    assert answer["status"] == 403


@pytest.mark.parametrize("allowed", [(), ("http://127.0.0.1:1",)], ids=["by default", "that of another origin"])
def test_page_of_an_origin_that_is_not_allowed_cannot_call_the_api(
    browser: Browser, elsewhere: str, allowed: tuple[str, ...]
):
    assert classified_from(browser, elsewhere, cors_origins=allowed) == "TypeError: Failed to fetch"

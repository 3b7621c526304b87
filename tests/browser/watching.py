"""Watches a page: what it logs, which errors it throws, what its policy blocks, and whom it asks."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from playwright.sync_api import ConsoleMessage, Page, Request

_OWN_SCHEMES: Final = ("data",)
"""Of addresses that no request leaves the browser for."""

_REPORT_BLOCKED: Final = """addEventListener("securitypolicyviolation", event =>
    console.error(`blocked by ${event.violatedDirective}: ${event.blockedURI} ${event.sample}`))"""


@dataclass
class Watch:
    """What was wrong on a page.

    Attributes:
        origin: The only one that may be asked.
        expected: Patterns of messages that a test provokes, such as the browser's own of a response with an error.
        faults: Errors, warnings, blocked content and requests to other origins, in their order.
        requests: Method and path of every request to the origin.
    """

    origin: str
    expected: list[str] = field(default_factory=list[str])
    faults: list[str] = field(default_factory=list[str])
    requests: list[str] = field(default_factory=list[str])

    def start(self, page: Page) -> None:
        """Watch a page from now on."""
        page.add_init_script(_REPORT_BLOCKED)
        page.on("console", self._add_message)
        page.on("pageerror", lambda error: self.faults.append(f"thrown: {error}"))
        page.on("request", self._add_request)

    def unexpected(self) -> list[str]:
        """The faults that no pattern expects."""
        return [fault for fault in self.faults if not any(re.search(each, fault) for each in self.expected)]

    def predictions(self) -> list[str]:
        """Method and path of the requests that ask a model."""
        return [each for each in self.requests if re.match(r"POST /v1/(classify|detect|segment|explain|pose)", each)]

    def _add_message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"{message.type}: {message.text}")

    def _add_request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme in _OWN_SCHEMES:
            return
        if request.url.startswith(f"{self.origin}/"):
            self.requests.append(f"{request.method} {address.path}")
        else:
            self.faults.append(f"asks another host: {request.url}")

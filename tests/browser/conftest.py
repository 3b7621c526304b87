"""Chromium, and one running stack that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from loadtests.chromium import chromium_path, running_chromium


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium; skips where it is not installed."""
    if chromium_path() is None:
        pytest.skip("chromium is not installed; `make browser` installs it for root on Debian")
    with running_chromium() as made:
        yield made

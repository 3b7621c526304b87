"""Headless Chromium for what is measured and tested in a browser: Debian's, run by playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from playwright.sync_api import Browser, sync_playwright

PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome")
"""Names of the program, the first one on PATH is taken; playwright's own build is never downloaded."""


def chromium_path() -> str | None:
    """Path of the program; None where it is not installed."""
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """Start Chromium without a window, and end it.

    Playwright keeps an event loop in this thread meanwhile, so `asyncio.run` has to run in another one.

    Raises:
        FileNotFoundError: Chromium is not installed.
    """
    path = chromium_path()
    if path is None:
        raise FileNotFoundError("chromium is not installed: apt-get install chromium")
    sandbox = [] if os.geteuid() else ["--no-sandbox"]  # Chromium refuses to start as root with its sandbox
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=sandbox)
        yield browser
        browser.close()

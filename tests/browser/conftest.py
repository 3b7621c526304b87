"""Chromium, and one running stack that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, expect
from running import RunningStack, running_stack, write_config

from loadtests.chromium import chromium_path, running_chromium
from tests.browser.playground import Playground
from tests.browser.served import ADMIN_KEY, CLASSIFIER, COLD_NUCLEI, COLD_POSE, DETECTOR, DIGITS, NUCLEI, SEGMENTER

PATIENCE_MS = 20_000
"""How long a state is waited for, on a busy machine."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium; skips where it is not installed."""
    if chromium_path() is None:
        pytest.skip("chromium is not installed; `make browser` installs it for root on Debian")
    expect.set_options(timeout=PATIENCE_MS)
    with running_chromium() as made:
        yield made


@pytest.fixture(scope="session")
def accuracy_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the shared stack finds recorded evaluations."""
    return tmp_path_factory.mktemp("accuracy") / "accuracy.jsonl"


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, accuracy_file: Path) -> Iterator[RunningStack]:
    """A stack with a model of each kind; some are loaded on demand."""
    config = write_config(
        tmp_path_factory.mktemp("stack"),
        models=(CLASSIFIER,),
        detectors=(DETECTOR, DIGITS),
        segmenters=(SEGMENTER, NUCLEI, COLD_NUCLEI),
        poses=(COLD_POSE,),
        preload=(CLASSIFIER, DETECTOR, DIGITS, SEGMENTER),
    )
    environment = {"TAPETUM_ACCURACY_FILE": str(accuracy_file), "TAPETUM_ADMIN_KEYS": ADMIN_KEY}
    with running_stack(config, **environment) as made:
        yield made


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser without history; its window is that of a laptop."""
    with closing(browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-US")) as made:
        made.set_default_timeout(PATIENCE_MS)
        yield made


@pytest.fixture
def visit(context: BrowserContext) -> Iterator[Callable[[str], Playground]]:
    """Opens the playground of a server; fails at the end where a page logged an error or asked another host."""
    visited: list[Playground] = []

    def open_page(url: str) -> Playground:
        visited.append(Playground(context, url))
        visited[-1].open()
        return visited[-1]

    yield open_page
    assert [fault for each in visited for fault in each.watch.unexpected()] == []


@pytest.fixture
def playground(visit: Callable[[str], Playground], stack: RunningStack) -> Playground:
    """The playground of the shared stack."""
    return visit(stack.url)

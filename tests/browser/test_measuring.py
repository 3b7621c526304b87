"""The commands that measure the page, and take its pictures: they find what they look for."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image
from playwright.sync_api import Browser
from running import RunningStack

from loadtests.page import drawn_after_ms, load, table
from loadtests.page_pictures import show_answers, take
from loadtests.photos import SMALL

pytestmark = pytest.mark.integration

MOST_PAGE_BYTES = 150_000
MOST_PICTURE_BYTES = 200_000


def test_page_with_all_its_parts_is_small_and_comes_from_one_host(browser: Browser, stack: RunningStack):
    loaded = load(browser, stack.url)
    assert loaded.page_bytes + loaded.api_bytes < MOST_PAGE_BYTES
    assert 0 < loaded.picture_bytes < loaded.page_bytes
    assert loaded.hosts == {urlsplit(stack.url).netloc}
    assert 0 < loaded.first_paint_ms <= loaded.first_contentful_paint_ms
    lines = list(table([loaded], {("Classify", SMALL): [12.0, 34.0, 23.0]}))
    assert lines[-1] == "| Classify, from a photo of 640 × 480 to its drawn answer | 23 (12 to 34) ms | |"


def test_drawn_answers_are_timed(browser: Browser, stack: RunningStack):
    (after_ms,) = drawn_after_ms(browser, stack.url, "Detect", SMALL, repeats=1)
    assert 0 < after_ms < 20_000


def test_picture_of_answers_is_taken(browser: Browser, stack: RunningStack, tmp_path: Path):
    path = tmp_path / "playground.jpg"
    take(browser, stack.url, "light", show_answers, path)
    with Image.open(path) as picture:
        assert picture.width == 1280
    assert path.stat().st_size < MOST_PICTURE_BYTES

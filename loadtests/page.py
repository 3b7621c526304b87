"""Measures the playground in headless Chromium: first paint, bytes, requests, and how long a drawn answer takes.

    python -m loadtests.page                                # starts a stack with the shipped configuration, and ends it
    python -m loadtests.page --url http://127.0.0.1:8000    # a stack that runs

Every load has an empty browser cache. First paint is that of the Paint Timing API, from the start of the navigation
(https://www.w3.org/TR/paint-timing/). Bytes are those of response bodies as they travelled, compressed. A drawn answer
is timed from the choice of the file to the frame after the one that it is drawn in; none comes from the server's cache.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Final
from urllib.parse import urlsplit

import typer
from playwright.sync_api import Browser, BrowserContext, Page, Request

from loadtests.chromium import running_chromium
from loadtests.contenders import tapetum
from loadtests.photos import SMALL, photos
from loadtests.processes import LOOPBACK
from services.local.stack import DEFAULT_CONFIG

_PAINTS: Final = "() => performance.getEntriesByType('paint').map(entry => [entry.name, entry.startTime])"
_PAINTED: Final = "() => performance.getEntriesByName('first-contentful-paint').length > 0"
_KB: Final = 1000

TASKS: Final = ("Classify", "Detect", "Segment")
"""As the page calls them; each is timed with the first model that the stack lists for it."""

LARGE: Final = (3000, 4000)
"""(height, width) of a photo of a phone, in pixels."""

_TIME: Final = """() => {
    const card = document.getElementById("run-0")
    let chosenAt = 0
    document.getElementById("file").addEventListener("change", () => chosenAt = performance.now(), {once: true})
    window.drawn = new Promise(resolve => new MutationObserver((_, observer) => {
        if (!chosenAt || card.getAttribute("aria-busy") !== "false") return
        observer.disconnect()
        requestAnimationFrame(() => requestAnimationFrame(now => resolve([now - chosenAt, card.innerText])))
    }).observe(card, {attributeFilter: ["aria-busy"]}))
}"""


@dataclass(frozen=True)
class Load:
    """One load of the page with an empty cache.

    Attributes:
        first_paint_ms: Time from the start of the navigation to the first pixels.
        first_contentful_paint_ms: To the first text or image.
        page_bytes: Of the page and its parts, as they travelled.
        picture_bytes: Of the pictures among these.
        page_requests: How many parts there are.
        api_bytes: Of the answers of the API that the page asks for at its start.
        api_requests: How many.
        hosts: That were asked.
    """

    first_paint_ms: float
    first_contentful_paint_ms: float
    page_bytes: int
    picture_bytes: int
    page_requests: int
    api_bytes: int
    api_requests: int
    hosts: frozenset[str]


def page(
    url: Annotated[str | None, typer.Option(help="Address of a stack that runs; none: one is started.")] = None,
    loads: Annotated[int, typer.Option(min=1, help="Loads of the page; their median counts.")] = 9,
    repeats: Annotated[int, typer.Option(min=1, help="Photos of each task and size.")] = 9,
) -> None:
    """Measure the playground."""
    with playground_stack(url) as address, running_chromium() as browser:
        loaded = [load(browser, address) for _ in range(loads)]
        drawn: dict[tuple[str, tuple[int, int]], list[float]] = {
            (task, size): drawn_after_ms(browser, address, task, size, repeats)
            for task in TASKS
            for size in (SMALL, LARGE)
        }
        for line in table(loaded, drawn):
            print(line)


def load(browser: Browser, url: str) -> Load:
    """Load the page once, with an empty cache.

    Args:
        browser: Chromium.
        url: Address of the stack.
    """
    with closing(browser.new_context()) as context:
        requests: list[Request] = []
        context.on("requestfinished", lambda request: requests.append(request))  # it needs a function
        opened = opened_page(context, url)
        opened.wait_for_function(_PAINTED)
        paints: dict[str, float] = dict(opened.evaluate(_PAINTS))
        opened.wait_for_load_state("networkidle")
        sizes = [(request, request.sizes()["responseBodySize"]) for request in requests]
    parts = [(request, size) for request, size in sizes if not urlsplit(request.url).path.startswith("/v1/")]
    return Load(
        paints["first-paint"],
        paints["first-contentful-paint"],
        page_bytes=sum(size for _, size in parts),
        picture_bytes=sum(size for request, size in parts if request.resource_type == "image"),
        page_requests=len(parts),
        api_bytes=sum(size for _, size in sizes) - sum(size for _, size in parts),
        api_requests=len(sizes) - len(parts),
        hosts=frozenset(urlsplit(request.url).netloc for request in requests),
    )


def drawn_after_ms(browser: Browser, url: str, task: str, size: tuple[int, int], repeats: int) -> list[float]:
    """How long it takes from the choice of a photo to its drawn answer, in milliseconds; one more goes before.

    Args:
        browser: Chromium.
        url: Address of the stack.
        task: As the page calls it.
        size: (height, width) of the photo in pixels.
        repeats: Number of photos.

    Raises:
        RuntimeError: the page shows an error instead.
    """
    (photo,) = photos(size, ["astronaut"])
    times: list[float] = []
    with closing(browser.new_context()) as context:
        opened = opened_page(context, url)
        opened.get_by_role("radio", name=task).check(force=True)
        for at in range(repeats + 1):
            opened.evaluate(_TIME)
            data = photo + f"{time.time_ns()}".encode()  # another file for the cache, and the same picture
            opened.locator("#file").set_input_files({"name": f"{at}.jpg", "mimeType": "image/jpeg", "buffer": data})
            after_ms, shown = opened.evaluate("() => window.drawn")
            if opened.locator("#run-0 [role=alert]").count():
                raise RuntimeError(f"{task}: {shown}")
            times.append(after_ms)
    return times[1:]


def opened_page(context: BrowserContext, url: str) -> Page:
    """A new tab with the playground."""
    made = context.new_page()
    made.goto(f"{url}/")
    return made


def table(loads: Sequence[Load], drawn: Mapping[tuple[str, tuple[int, int]], Sequence[float]]) -> Iterator[str]:
    """The lines of the table.

    Args:
        loads: Of the page.
        drawn: Milliseconds from a photo to its drawn answer, by task and (height, width).
    """
    one = loads[0]
    yield "| what | measured | goal |"
    yield "| --- | --- | --- |"
    yield f"| first paint, median of {len(loads)} | {_of([each.first_paint_ms for each in loads])} ms | < 500 ms |"
    yield f"| first text | {_of([each.first_contentful_paint_ms for each in loads])} ms | |"
    parts = f"{one.page_bytes / _KB:.1f} KB in {one.page_requests} responses"
    yield f"| page with its parts, as they travel | {parts} | < 150 KB |"
    yield f"| of these, pictures | {one.picture_bytes / _KB:.1f} KB | |"
    yield f"| answers of the API at the start | {one.api_bytes / _KB:.1f} KB in {one.api_requests} responses | |"
    yield f"| hosts | {len(frozenset[str]().union(*(each.hosts for each in loads)))} | 1 |"
    for (task, (height, width)), times in drawn.items():
        yield f"| {task}, from a photo of {width} × {height} to its drawn answer | {_of(times)} ms | |"


@contextmanager
def playground_stack(url: str | None) -> Iterator[str]:
    """The address of a stack that runs, or else of one with the shipped configuration, started and ended here.

    Args:
        url: Of the stack that runs.
    """
    if url is not None:
        yield url.rstrip("/")
        return
    with (
        tempfile.TemporaryDirectory(prefix="tapetum-page-") as folder,
        tapetum(DEFAULT_CONFIG).running(Path(folder)) as (_, port),
    ):
        yield f"http://{LOOPBACK}:{port}"


def _of(values: Sequence[float]) -> str:
    return f"{median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


if __name__ == "__main__":
    typer.run(page)

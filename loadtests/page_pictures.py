"""Takes the pictures of the playground that the README and docs/playground.md show, in headless Chromium.

    python -m loadtests.page_pictures                                # starts a stack, and ends it
    python -m loadtests.page_pictures --url http://127.0.0.1:8000    # a stack that runs the shipped configuration

They show the page's own samples only: nuclei that are made up, and the coffee cup (CC0).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer
from playwright.sync_api import Browser, Page, expect

from loadtests.chromium import running_chromium
from loadtests.contenders import ROOT
from loadtests.page import opened_page, playground_stack

FOLDER: Final = ROOT / "docs" / "images"
QUALITY: Final = 80
"""Of the JPEG files, 0 to 100: each is smaller than 200 KB."""
LOAD_MS: Final = 120_000
"""Time limit for an answer of a model that is loaded first, or of an explainer that starts first."""

_WINDOW: Final[Any] = {"width": 1280, "height": 1040}


def pictures(
    url: Annotated[str | None, typer.Option(help="Address of a stack that runs; none: one is started.")] = None,
) -> None:
    """Take the pictures."""
    expect.set_options(timeout=LOAD_MS)
    with playground_stack(url) as address, running_chromium() as browser:
        take(browser, address, "light", show_answers, FOLDER / "playground-answer.jpg")
        take(browser, address, "dark", show_explanation, FOLDER / "playground-why.jpg")
        take(browser, address, "light", show_layers, FOLDER / "playground-layers.jpg")


def take(
    browser: Browser, url: str, colours: Literal["light", "dark"], show: Callable[[Page], None], path: Path
) -> None:
    """Take one picture.

    Args:
        browser: Chromium.
        url: Address of the stack.
        colours: Scheme of the page.
        show: Brings the page to what the picture shows.
        path: Of the JPEG file.
    """
    with closing(browser.new_context(viewport=_WINDOW, color_scheme=colours, reduced_motion="reduce")) as context:
        page = opened_page(context, url)
        show(page)
        page.mouse.move(0, 0)
        page.screenshot(path=path, quality=QUALITY, type="jpeg")
    print(f"{path}: {path.stat().st_size / 1000:.0f} KB")


def show_answers(page: Page) -> None:
    """Cell nuclei, as two segmenters answer: objects, and a class; after another image, which loads the models."""
    _choose(page, "Segment", "mask-rcnn-nuclei")
    page.locator("#second").select_option("unet-nuclei")
    page.locator("#file").set_input_files(FOLDER / "coffee.jpg")
    _wait_for_answers(page, "coffee", count=2)
    page.locator("#sample-nuclei").click()
    _wait_for_answers(page, "nuclei", count=2)


def show_explanation(page: Page) -> None:
    """The coffee cup: its classes, and where the classifier looked for the best; after another, which loads it."""
    for sample in ("astronaut", "coffee"):
        page.locator(f"#sample-{sample}").click()
        _wait_for_answers(page, sample, count=1)
        page.locator("#why-0-0").click()
        expect(page.locator("#canvas-why")).to_be_visible()
    page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0) }")


def show_layers(page: Page) -> None:
    """The coffee cup in a layer of the classifier: how its window moves, its maps, and what one unit sees."""
    page.locator("#sample-coffee").click()
    _wait_for_answers(page, "coffee", count=1)
    page.get_by_role("tab", name="Layers").click()
    page.get_by_title("stages.1.0.depthwise.0", exact=True).click()
    expect(page.get_by_role("img", name="Maps of the layer stages.1.0.depthwise.0")).to_be_visible()
    page.get_by_role("slider", name="Position of the window").fill("6")
    page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 160) }")


def _choose(page: Page, task: str, model: str) -> None:
    page.get_by_role("radio", name=task).check(force=True)
    page.locator("#model").select_option(model)


def _wait_for_answers(page: Page, name: str, count: int) -> None:
    expect(page.locator("#image-facts")).to_contain_text(name)
    for slot in range(count):
        card = page.locator(f"#run-{slot}")
        expect(card).to_be_visible()
        expect(card).to_have_attribute("aria-busy", "false")
        expect(card.locator(".found-list")).to_be_visible()


if __name__ == "__main__":
    typer.run(pictures)

"""Uses the playground as somebody at a screen does, and reads what it shows."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import BrowserContext, FilePayload, Locator, Page, expect

from tests.browser.watching import Watch

PALETTE: Final = ((45, 212, 191), (251, 146, 60), (129, 140, 248), (250, 204, 21))
"""The colours of the first objects, red, green, blue."""

_TRANSFER: Final = """([text, name, type]) => {
    const transfer = new DataTransfer()
    const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0))
    transfer.items.add(new File([bytes], name, {type}))
    return transfer
}"""
_PIXELS: Final = """canvas => {
    const {width, height} = canvas
    const copy = new OffscreenCanvas(width, height).getContext("2d", {willReadFrequently: true})
    copy.drawImage(canvas, 0, 0)
    const {data} = copy.getImageData(0, 0, width, height)
    let text = ""
    for (let at = 0; at < data.length; at += 8192) text += String.fromCharCode(...data.subarray(at, at + 8192))
    return [height, width, btoa(text)]
}"""


class Playground:
    """The page in one tab.

    Attributes:
        page: The tab.
        watch: What was wrong on it.
    """

    def __init__(self, context: BrowserContext, origin: str) -> None:
        self.page: Page = context.new_page()
        self.watch = Watch(origin)
        self.watch.start(self.page)

    def open(self) -> None:
        """Load the page, and wait for the models, or the question for a key."""
        self.page.goto(f"{self.watch.origin}/")
        expect(self.page.locator("#model option, #key-panel:not([hidden])").first).to_be_attached()

    # what somebody does

    def choose(self, file: Path | FilePayload) -> None:
        """Choose a file with the button for it."""
        self.page.locator("#file").set_input_files(file)

    def drop(self, data: bytes, name: str = "photo.jpg", media_type: str = "image/jpeg") -> None:
        """Drop a file on the page."""
        transfer = self.page.evaluate_handle(_TRANSFER, [base64.b64encode(data).decode(), name, media_type])
        for event in ("dragenter", "dragover", "drop"):
            self.page.locator("#drop").dispatch_event(event, {"dataTransfer": transfer})

    def take_sample(self, name: str) -> None:
        """Take one of the samples, and wait until it is there."""
        self.page.get_by_role("group", name="Sample images").get_by_role("button", name=name).click()
        expect(self.page.locator("#image-facts")).to_contain_text(f"{name.lower()}.jpg")

    def choose_model(self, name: str, task: str) -> None:
        """Choose a task, and a model of it."""
        self.page.get_by_role("radio", name=task).check(force=True)
        self.page.get_by_role("combobox", name="Model", exact=True).select_option(name)

    def enter_key(self, key: str) -> None:
        """Enter an API key in the form that asks for it."""
        self.page.get_by_label("Key", exact=True).fill(key)
        self.page.get_by_role("button", name="Use this key").click()

    def set_range(self, label: str, value: float) -> None:
        """Move a slider."""
        self.page.get_by_role("slider", name=label).fill(str(value))

    # what it shows

    def card(self, slot: int = 0) -> Locator:
        """The card of an answer."""
        return self.page.locator(f"#run-{slot}")

    def wait_for_answer(self, slot: int = 0) -> None:
        """Wait until the card of a slot has an answer, which is drawn."""
        self._wait_until_done(slot)
        expect(self.card(slot).get_by_role("alert")).to_have_count(0)
        expect(self.card(slot).locator(".found-list")).to_be_visible()

    def problem(self, slot: int = 0) -> str:
        """Wait for an error in the card of a slot, and return its text."""
        self._wait_until_done(slot)
        expect(self.card(slot).get_by_role("alert")).to_be_visible()
        return self.card(slot).get_by_role("alert").inner_text()

    def found(self, slot: int = 0) -> list[tuple[str, float]]:
        """Class name and share, 0 to 1, of each row of the list."""
        rows = self.card(slot).locator("ul.found li:has(.name)")
        names, shares = rows.locator(".name").all_inner_texts(), rows.locator(".value").all_inner_texts()
        return [(name, float(share.rstrip(" %")) / 100) for name, share in zip(names, shares, strict=True)]

    def drawn(self, name: str = "result-0") -> Drawn:
        """The pixels of a canvas: `result-0`, `result-1`, `original`, `why` or `seen`."""
        canvas = self.page.locator(f"#canvas-{name}")
        height, width, text = canvas.evaluate(_PIXELS)
        rgba = np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)
        shown_height, shown_width = re.findall(r"\d+", canvas.evaluate("canvas => canvas.style.aspectRatio"))[::-1]
        return Drawn(rgba[..., :3], (int(shown_height), int(shown_width)))

    def shown_code(self, language: str) -> str:
        """The code of the request in a language."""
        self.page.get_by_role("tab", name=language, exact=True).click()
        return self.page.locator("#code").inner_text()

    def _wait_until_done(self, slot: int) -> None:
        expect(self.card(slot)).to_be_visible()
        expect(self.card(slot)).to_have_attribute("aria-busy", "false", timeout=30_000)


class Drawn:
    """What a canvas shows.

    Args:
        pixels: (height, width, 3) uint8, RGB.
        size: (height, width) of the image in pixels.
    """

    def __init__(self, pixels: NDArray[np.uint8], size: tuple[int, int]) -> None:
        self.pixels = pixels
        self._scale = pixels.shape[0] / size[0]

    def at(self, x: float, y: float) -> tuple[int, int, int]:
        """The colour at a place of the image, in its pixels."""
        row, column = (
            min(int(place * self._scale), most - 1) for place, most in zip((y, x), self.pixels.shape, strict=False)
        )
        red, green, blue = (int(value) for value in self.pixels[row, column])
        return red, green, blue

    def has_box(self, box: Mapping[str, float], colour: Sequence[int]) -> bool:
        """Whether the middle of each edge of a box, in pixels of the image, has a colour."""
        x, y = (box["x_min"] + box["x_max"]) / 2, (box["y_min"] + box["y_max"]) / 2
        edges = ((box["x_min"], y), (box["x_max"], y), (x, box["y_max"]))
        return all(self._has_near(*edge, colour) for edge in edges)

    def is_as(self, other: Drawn) -> bool:
        """Whether it shows the same, pixel by pixel."""
        return self.pixels.shape == other.pixels.shape and bool((self.pixels == other.pixels).all())

    def _has_near(self, x: float, y: float, colour: Sequence[int]) -> bool:
        row, column = round(y * self._scale), round(x * self._scale)
        near = self.pixels[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3].astype(int)
        return bool((np.abs(near - np.array(colour)).max(-1) <= 6).any())

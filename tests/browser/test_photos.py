"""Ways to an image: a file, a drop, the clipboard, the samples; and what is drawn of its answer."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, expect
from running import RunningStack

from tests.browser.pictures import ASTRONAUT, COFFEE, NUCLEI_IMAGE, enlarged
from tests.browser.playground import PALETTE, Playground
from tests.browser.served import CLASSIFIER, DETECTOR, DIGITS, NUCLEI, SEGMENTER, asked

pytestmark = pytest.mark.integration

MASK_ALPHA = 115 / 255
"""How opaque masks are drawn."""

_COPY = """async text => {
    const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0))
    await navigator.clipboard.write([new ClipboardItem({"image/png": new Blob([bytes], {type: "image/png"})})])
}"""


def test_chosen_file_is_classified_with_the_answer_of_the_api(stack: RunningStack, playground: Playground):
    playground.choose(COFFEE)
    playground.wait_for_answer()
    expected = asked(stack.url, "classify", COFFEE.read_bytes())["predictions"]
    assert [name for name, _ in playground.found()] == [one["class_name"] for one in expected]
    assert [share for _, share in playground.found()] == pytest.approx(
        [one["probability"] for one in expected], abs=6e-3
    )
    assert playground.drawn().is_as(playground.drawn("original"))


def test_boxes_are_drawn_where_the_api_finds_them(stack: RunningStack, playground: Playground):
    playground.choose_model(DETECTOR, "Detect")
    playground.choose(ASTRONAUT)
    playground.wait_for_answer()
    (person,) = asked(stack.url, "detect", ASTRONAUT.read_bytes(), model=DETECTOR)["predictions"]
    assert [name for name, _ in playground.found()] == ["person"]
    assert playground.drawn().has_box(person["box"], PALETTE[0])
    assert not playground.drawn("original").has_box(person["box"], PALETTE[0])


@pytest.mark.parametrize("mask_format", ["run lengths", "polygons"])
def test_mask_is_drawn_where_it_is_and_nowhere_else(playground: Playground, mask_format: str):
    playground.choose_model(SEGMENTER, "Segment")
    playground.page.get_by_label("Masks as").select_option(label=mask_format)
    playground.choose(ASTRONAUT)
    playground.wait_for_answer()
    assert [name for name, _ in playground.found()] == ["person"]
    drawn, original = playground.drawn(), playground.drawn("original")
    chest, helmet = (150, 330), (420, 430)
    assert drawn.at(*chest) != original.at(*chest)
    assert drawn.at(*helmet) == original.at(*helmet)


def test_objects_have_masks_and_boxes_of_their_own(stack: RunningStack, playground: Playground):
    playground.choose_model(NUCLEI, "Segment")
    playground.choose(NUCLEI_IMAGE)
    playground.wait_for_answer()
    expected = asked(stack.url, "segment", NUCLEI_IMAGE.read_bytes(), model=NUCLEI)["predictions"]
    assert len(expected) > 50
    expect(playground.card().locator(".summary")).to_have_text(f"{len(expected)} objects")
    drawn, original = playground.drawn(), playground.drawn("original")
    for one, colour in zip(expected[:4], PALETTE, strict=True):
        middle = [(one["box"][f"{axis}_min"] + one["box"][f"{axis}_max"]) / 2 for axis in "xy"]
        tinted = np.average([original.at(*middle), colour], axis=0, weights=(1 - MASK_ALPHA, MASK_ALPHA))
        assert drawn.at(*middle) == pytest.approx(tinted, abs=3)


def test_dropped_file_is_sent(playground: Playground):
    playground.drop(COFFEE.read_bytes(), "dropped.jpg")
    playground.wait_for_answer()
    assert playground.found()[0][0] == "espresso"
    expect(playground.page.locator("#image-facts")).to_contain_text("dropped.jpg · 600 × 400 pixels")


def test_photo_of_the_camera_is_sent(playground: Playground):
    assert playground.page.locator("#camera").get_attribute("capture") == "environment"
    playground.page.locator("#camera").set_input_files(COFFEE)
    playground.wait_for_answer()
    assert playground.found()[0][0] == "espresso"


def test_image_of_the_clipboard_is_pasted(context: BrowserContext, playground: Playground):
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    file = io.BytesIO()
    Image.open(COFFEE).save(file, "PNG")
    playground.page.evaluate(_COPY, base64.b64encode(file.getvalue()).decode())
    playground.page.keyboard.press("Control+V")
    playground.wait_for_answer()
    assert playground.found()[0][0] == "espresso"


def test_text_of_the_clipboard_is_no_image(context: BrowserContext, playground: Playground):
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    playground.page.evaluate("() => navigator.clipboard.writeText('a text')")
    playground.page.keyboard.press("Control+V")
    expect(playground.page.locator("#image-problem")).to_have_text(
        "There is no file in that. Drop or paste an image file."
    )
    assert playground.watch.predictions() == []


@pytest.mark.parametrize(
    ("sample", "model", "found"),
    [
        ("Astronaut", DETECTOR, "person"),
        ("Coffee", CLASSIFIER, "espresso"),
        ("Nuclei", NUCLEI, "nucleus"),
        ("Digits", DIGITS, None),
    ],
)
def test_sample_is_sent_to_a_model_that_knows_what_is_on_it(
    playground: Playground, sample: str, model: str, found: str | None
):
    playground.take_sample(sample)
    playground.wait_for_answer()
    expect(playground.card().get_by_role("heading")).to_have_text(model)
    names = [name for name, _ in playground.found()]
    assert names[0] == found if found else len(set(names)) >= 2


def test_photo_of_twelve_megapixels_is_drawn(stack: RunningStack, playground: Playground, tmp_path: Path):
    photo = tmp_path / "large.jpg"
    photo.write_bytes(enlarged(3000, 4000))
    playground.choose_model(DETECTOR, "Detect")
    playground.choose(photo)
    playground.wait_for_answer()
    (person, *_) = asked(stack.url, "detect", photo.read_bytes(), model=DETECTOR)["predictions"]
    assert playground.drawn().has_box(person["box"], PALETTE[0])
    expect(playground.page.locator("#image-facts")).to_contain_text("4000 × 3000 pixels")


def test_photo_on_its_side_is_drawn_upright(stack: RunningStack, playground: Playground, tmp_path: Path):
    photo = tmp_path / "sideways.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: turn a quarter clockwise to show it
    Image.open(ASTRONAUT).crop((0, 0, 512, 384)).transpose(Image.Transpose.ROTATE_90).save(photo, exif=exif, quality=95)
    playground.choose_model(DETECTOR, "Detect")
    playground.choose(photo)
    playground.wait_for_answer()
    (person, *_) = asked(stack.url, "detect", photo.read_bytes(), model=DETECTOR)["predictions"]
    expect(playground.page.locator("#image-facts")).to_contain_text("512 × 384 pixels")
    assert playground.drawn().has_box(person["box"], PALETTE[0])


def test_second_image_replaces_the_first_even_while_that_is_asked(playground: Playground):
    playground.choose(ASTRONAUT)
    playground.choose(COFFEE)
    playground.wait_for_answer()
    assert playground.found()[0][0] == "espresso"
    expect(playground.page.locator("#image-facts")).to_contain_text("coffee.jpg")


def test_memory_does_not_grow_with_the_number_of_photos(
    context: BrowserContext, visit: Callable[[str], Playground], stack: RunningStack
):
    playground = visit(stack.url)
    session = context.new_cdp_session(playground.page)
    session.send("Performance.enable")

    def held() -> dict[str, float]:
        session.send("HeapProfiler.collectGarbage")
        return {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}

    def take_photos(count: int) -> dict[str, float]:
        for at in range(count):
            playground.choose({"name": f"{at}.jpg", "mimeType": "image/jpeg", "buffer": COFFEE.read_bytes()})
            expect(playground.page.locator("#image-facts")).to_contain_text(f"{at}.jpg · 600")
            playground.wait_for_answer()
        return held()

    before, after = take_photos(5), take_photos(50)
    assert after["Nodes"] <= before["Nodes"] * 1.2
    assert after["JSHeapUsedSize"] - before["JSHeapUsedSize"] < 2**20

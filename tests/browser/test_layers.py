"""The view "Layers": the network of a served model, what its layers make of a photo, and what each unit sees."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Route, expect
from running import RunningStack

from tests.browser.axe import violations
from tests.browser.pictures import ASTRONAUT, COFFEE
from tests.browser.playground import Playground
from tests.browser.served import CLASSIFIER, COLD_POSE, DETECTOR, asked
from tests.browser.test_accessibility import LOOKS, is_wider_than_the_window

pytestmark = pytest.mark.integration

LOAD_S = 120.0
"""Time limit of the first request, which starts the explainer and loads the network."""
DEEP = "stages.2.0.depthwise.0"
"""A layer of the classifier with maps of 28 × 28 units."""


@pytest.fixture(scope="module", autouse=True)
def networks(stack: RunningStack) -> dict[str, Any]:
    """The layers of some models as the API lists them; the explainer runs from then on."""
    return {
        model: httpx.get(
            f"{stack.url}/v1/models/{model}/layers",
            headers={"x-request-timeout": f"{LOAD_S - 10:.0f}"},
            timeout=LOAD_S,
        )
        .raise_for_status()
        .json()
        for model in (CLASSIFIER, COLD_POSE)
    }


@pytest.fixture
def opened(playground: Playground) -> Playground:
    """The view with the layers of the classifier."""
    open_layers(playground)
    return playground


def open_layers(playground: Playground) -> None:
    playground.page.get_by_role("tab", name="Layers").click()
    expect(table(playground).get_by_role("button").first).to_be_visible()


def table(playground: Playground) -> Locator:
    return playground.page.get_by_role("table", name="Layers, from input to output")


def choose_layer(playground: Playground, name: str) -> Locator:
    """Choose a layer, and return the card of it."""
    table(playground).get_by_title(name, exact=True).click()
    card = playground.page.get_by_role("region", name=name)
    expect(card).to_be_visible()
    return card


def wait_for_maps(playground: Playground) -> None:
    expect(playground.page.get_by_role("img", name="Maps of the layer")).to_be_visible()


def test_layers_are_those_of_the_api_from_input_to_output(networks: dict[str, Any], opened: Playground):
    listed = networks[CLASSIFIER]["layers"]
    opened.page.get_by_label("Norms and activations, too").check()
    rows = table(opened).get_by_role("row")
    expect(rows).to_have_count(len(listed) + 1)
    first, last = rows.nth(1), rows.last
    for text in ("stem.0", "Conv2d", "32 × 112 × 112", "3, stride\u00a02", "864"):
        expect(first).to_contain_text(text)
    for text in ("classifier", "1000", "1,281,000", "all"):
        expect(last).to_contain_text(text)
    expect(opened.page.locator("#layers-facts")).to_contain_text("132 layers, 4,652,008 parameters.")
    assert opened.watch.predictions() == [], "there is no photo yet"


def test_filters_of_the_first_layer_are_shown_with_it_alone(opened: Playground):
    filters = opened.page.get_by_role("img", name="The 32 filters of the layer stem.0")
    expect(filters).to_be_visible()
    assert filters.evaluate("image => image.naturalWidth") > 100
    choose_layer(opened, DEEP)
    expect(filters).to_have_count(0)


def test_photo_of_the_other_view_is_looked_at_layer_by_layer(stack: RunningStack, opened: Playground):
    expect(opened.page.locator("#layer")).to_contain_text("Choose an image to see them.")
    opened.choose(COFFEE)
    wait_for_maps(opened)
    with opened.page.expect_request("**/v1/explain?*") as request:
        card = choose_layer(opened, DEEP)
    assert "method=features" in request.value.url and f"layer={DEEP}" in request.value.url
    wait_for_maps(opened)
    told = asked(stack.url, "explain", COFFEE.read_bytes(), model=CLASSIFIER, method="features", layer=DEEP)
    expect(card).to_contain_text(f"{told['shown']} of {told['channels']} maps")
    opened.page.get_by_role("tab", name="Try").click()
    opened.wait_for_answer()
    expect(opened.page.locator("#view-try #file")).to_be_attached()


def test_square_on_the_photo_is_what_the_unit_under_the_pointer_sees(stack: RunningStack, opened: Playground):
    opened.choose(COFFEE)
    choose_layer(opened, DEEP)
    wait_for_maps(opened)
    seen = asked(stack.url, "explain", COFFEE.read_bytes(), model=CLASSIFIER, method="features", layer=DEEP)["seen"]
    large = opened.page.locator("#canvas-map")
    large.scroll_into_view_if_needed()
    box = large.bounding_box()
    assert box is not None
    row, column = 7, 20
    opened.page.mouse.move(box["x"] + (column + 0.5) / 28 * box["width"], box["y"] + (row + 0.5) / 28 * box["height"])
    expect(opened.page.locator("#unit-told")).to_contain_text(f"Row {row + 1}, column {column + 1} of 28 × 28")
    (top, bottom), (left, right) = seen["rows"][row], seen["columns"][column]
    edges = {"x_min": left, "y_min": top, "x_max": right, "y_max": bottom}
    drawn = opened.drawn("seen")
    assert drawn.has_box(edges, (45, 212, 191))
    opened.page.get_by_role("tab", name="Try").click()
    inside, outside = ((left + right) / 2, (top + bottom) / 2), (10.0, 10.0)
    original = opened.drawn("original")
    assert sum(drawn.at(*outside)) < sum(original.at(*outside)) - 20, "the rest of the photo is not dim"
    assert abs(sum(drawn.at(*inside)) - sum(original.at(*inside))) < 120


def test_unit_is_moved_with_the_keyboard_and_another_map_is_chosen_by_touch(opened: Playground):
    opened.choose(COFFEE)
    choose_layer(opened, DEEP)
    wait_for_maps(opened)
    told = opened.page.locator("#unit-told")
    expect(told).to_contain_text("Row 15, column 15")
    opened.page.get_by_role("slider", name="Row").press("ArrowRight")
    opened.page.get_by_role("slider", name="Column").press("Home")
    expect(told).to_contain_text("Row 16, column 1 of")
    before = told.inner_text()
    sheet = opened.page.get_by_role("img", name="Maps of the layer")
    sheet.click(position={"x": 100, "y": 20})  # on the second map
    expect(told).not_to_have_text(before)


def test_rows_are_changed_with_the_arrows(opened: Playground):
    page = opened.page
    buttons = table(opened).get_by_role("button")
    buttons.first.focus()
    page.keyboard.press("ArrowDown")
    expect(buttons.nth(1)).to_be_focused()
    page.keyboard.press("End")
    expect(buttons.last).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="classifier Linear")).to_be_visible()
    expect(buttons.last).to_be_focused()
    expect(buttons.last).to_have_attribute("aria-current", "true")
    expect(page.locator("#layer")).to_contain_text("Its output, 1000, is no map over the photo.")


def test_window_moves_as_the_layer_says_until_it_is_paused(opened: Playground):
    choose_layer(opened, DEEP)
    figure, step = opened.page.locator(".kernel"), opened.page.get_by_role("slider", name="Position of the window")
    expect(figure).to_contain_text("5 × 5 values of one channel. The window moves by 2.")
    expect(step).not_to_have_value("1")
    opened.page.get_by_role("button", name="Pause").click()
    taps = figure.locator(".taps rect")
    step.fill("1")
    expect(taps).to_have_count(25)
    first = float(taps.first.get_attribute("x") or "nan")
    step.fill("2")
    assert float(taps.first.get_attribute("x") or "nan") - first == 2
    step.fill("5")
    assert float(taps.first.get_attribute("y") or "nan") == 2


def test_maps_of_poses_are_reached(networks: dict[str, Any], opened: Playground):
    opened.choose(ASTRONAUT)
    opened.page.locator("#layers-model").select_option(COLD_POSE)
    expect(opened.page.locator("#layers-facts")).to_contain_text(f"{networks[COLD_POSE]['parameters']:,} parameters")
    wait_for_maps(opened)
    head = choose_layer(opened, "keypoint_head.0")
    expect(head).to_contain_text("its region")
    expect(head).to_contain_text("It runs on each region that the model found")


def test_model_without_layers_says_why_in_place(playground: Playground):
    message = "Plates is an ONNX file, and has no layers of torch"

    def refuse(route: Route) -> None:
        error = {"code": "invalid_parameters", "message": message, "request_id": "x", "details": {}}
        route.fulfill(status=422, content_type="application/json", body=json.dumps({"error": error}))

    playground.watch.expected += ["status of 422"]
    playground.page.route(f"**/v1/models/{DETECTOR}/layers", refuse)
    playground.choose_model(DETECTOR, "Detect")
    playground.page.get_by_role("tab", name="Layers").click()
    expect(playground.page.locator("#layers-status").get_by_role("alert")).to_contain_text(message)
    expect(table(playground)).to_be_hidden()


@pytest.fixture(params=LOOKS)
def looked_at(request: pytest.FixtureRequest, browser: Browser, stack: RunningStack) -> Iterator[Playground]:
    """The page in a look, with little movement."""
    with closing(browser.new_context(**LOOKS[request.param], reduced_motion="reduce")) as context:
        made = Playground(context, stack.url)
        made.open()
        yield made
        assert made.watch.unexpected() == []


def test_no_layer_breaks_a_rule_of_axe_and_nothing_moves_by_itself(looked_at: Playground):
    open_layers(looked_at)
    assert violations(looked_at.page) == []
    looked_at.choose(COFFEE)
    wait_for_maps(looked_at)
    expect(looked_at.page.get_by_role("button", name="Play")).to_be_visible()
    assert violations(looked_at.page) == []
    choose_layer(looked_at, "classifier")
    assert violations(looked_at.page) == []
    assert not is_wider_than_the_window(looked_at.page)

"""Explanations and test-time augmentation on the page."""

from __future__ import annotations

import httpx
import pytest
from playwright.sync_api import expect
from running import RunningStack

from tests.browser.axe import violations
from tests.browser.pictures import ASTRONAUT, COFFEE
from tests.browser.playground import Playground
from tests.browser.served import CLASSIFIER, DETECTOR, SEGMENTER, asked

pytest.importorskip("captum")
pytestmark = pytest.mark.integration

LOAD_S = 120.0
"""Time limit of the first explanation, which starts a process and loads the network."""


@pytest.fixture(scope="module", autouse=True)
def explainer(stack: RunningStack) -> None:
    """A stack whose explainer runs: it starts with the first request."""
    headers = {"content-type": "image/jpeg", "x-request-timeout": f"{LOAD_S - 10:.0f}"}
    for model in (CLASSIFIER, DETECTOR, SEGMENTER):
        params = {"model": model}
        response = httpx.post(
            f"{stack.url}/v1/explain", content=ASTRONAUT.read_bytes(), params=params, headers=headers, timeout=LOAD_S
        )
        assert response.status_code == 200, response.text


def test_class_is_explained_by_a_heat_map_over_the_photo(stack: RunningStack, playground: Playground):
    playground.choose(COFFEE)
    playground.wait_for_answer()
    playground.card().get_by_role("button", name="Why espresso").click()
    why = playground.page.get_by_role("region", name="Why espresso?")
    expect(why.get_by_role("img", name="Heat map for espresso")).to_be_visible()
    heat = asked(stack.url, "explain", COFFEE.read_bytes(), model=CLASSIFIER, **{"class": "espresso"})["heat"]
    expect(why).to_contain_text(f"{heat['height']} × {heat['width']} values")
    drawn, original = playground.drawn("why"), playground.drawn("original")
    hottest = max(
        ((row, column) for row in range(heat["height"]) for column in range(heat["width"])),
        key=lambda place: heat["values"][place[0]][place[1]],
    )
    left, top, right, bottom = heat["area"]
    x = left + (hottest[1] + 0.5) / heat["width"] * (right - left)
    y = top + (hottest[0] + 0.5) / heat["height"] * (bottom - top)
    assert sum(drawn.at(x, y)) > sum(original.at(x, y)), "the hottest place is not bright"
    why.get_by_role("slider", name="Heat over the photo").fill("0")
    assert playground.drawn("why").is_as(original) or playground.drawn("why").at(x, y) == original.at(x, y)
    assert violations(playground.page) == []


def test_every_class_of_the_list_can_be_asked_about(playground: Playground):
    playground.choose(COFFEE)
    playground.wait_for_answer()
    second = playground.found()[1][0]
    with playground.page.expect_request("**/v1/explain?*") as request:
        playground.card().get_by_role("button", name=f"Why {second}").click()
    assert "class=" in request.value.url
    expect(playground.page.get_by_role("img", name=f"Heat map for {second}")).to_be_visible()


def test_methods_and_layers_are_chosen(playground: Playground):
    playground.choose(COFFEE)
    playground.wait_for_answer()
    playground.card().get_by_role("button", name="Why espresso").click()
    why = playground.page.locator("#why")
    expect(why.get_by_role("img", name="Heat map")).to_be_visible()
    why.get_by_label("Method").select_option("Feature maps")
    sheet = why.get_by_role("img", name="Maps of the layer")
    expect(sheet).to_be_visible()
    expect(why).to_contain_text("Each value sees")
    assert sheet.evaluate("image => image.naturalWidth") > 100
    with playground.page.expect_response("**/v1/explain?*layer=*"):
        why.get_by_label("Layer").select_option(index=1)
    expect(sheet).to_be_visible()
    assert violations(playground.page) == []
    why.get_by_label("Method").select_option("Occlusion")
    expect(why.get_by_role("img", name="Heat map for espresso")).to_be_visible()


def test_box_is_explained_by_a_click_on_it(playground: Playground):
    playground.choose_model(DETECTOR, "Detect")
    playground.choose(ASTRONAUT)
    playground.wait_for_answer()
    playground.page.locator("#canvas-result-0").click(position={"x": 150, "y": 250})
    expect(playground.page.get_by_role("img", name="Heat map for person")).to_be_visible()
    playground.page.get_by_role("button", name="Close").click()
    expect(playground.page.locator("#why")).to_be_hidden()


def test_box_below_the_threshold_of_the_model_is_refused_in_place(playground: Playground):
    playground.choose_model(DETECTOR, "Detect")
    playground.choose(ASTRONAUT)
    playground.wait_for_answer()
    playground.set_range("Score threshold", 0.05)
    playground.card().get_by_role("button", name="Why").last.click()
    expect(playground.page.locator("#why")).to_contain_text("Only objects above the model's own score threshold")


def test_region_of_a_semantic_segmenter_is_explained(playground: Playground):
    playground.choose_model(SEGMENTER, "Segment")
    playground.choose(ASTRONAUT)
    playground.wait_for_answer()
    playground.card().get_by_role("button", name="Why person").click()
    expect(playground.page.get_by_role("img", name="Heat map for person")).to_be_visible()


def test_explanation_of_an_earlier_photo_is_closed(playground: Playground):
    playground.choose(COFFEE)
    playground.wait_for_answer()
    playground.card().get_by_role("button", name="Why espresso").click()
    expect(playground.page.get_by_role("img", name="Heat map")).to_be_visible()
    playground.choose(ASTRONAUT)
    playground.wait_for_answer()
    expect(playground.page.locator("#why")).to_be_hidden()


@pytest.mark.parametrize(
    ("model", "task", "path"), [(CLASSIFIER, "Classify", "classify"), (DETECTOR, "Detect", "detect")]
)
def test_augmented_answer_is_that_of_the_api(
    stack: RunningStack, playground: Playground, model: str, task: str, path: str
):
    playground.choose_model(model, task)
    playground.choose(ASTRONAUT)
    playground.wait_for_answer()
    with playground.page.expect_response("**/v1/*augment=true*"):
        playground.page.get_by_role("switch", name="Augment").check(force=True)
    playground.wait_for_answer()
    expected = asked(stack.url, path, ASTRONAUT.read_bytes(), model=model, augment=True)["predictions"]
    assert [name for name, _ in playground.found()] == [one["class_name"] for one in expected]
    shares = [one.get("probability", one.get("score")) for one in expected]
    assert [share for _, share in playground.found()] == pytest.approx(shares, abs=6e-3)
    assert "augment=true" in playground.shown_code("curl")
    assert "augment=True" in playground.shown_code("Python")

"""Tasks, models and parameters: what redraws at once, and what asks the server again."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from running import RunningStack

from tests.browser.pictures import ASTRONAUT, COFFEE, NUCLEI_IMAGE
from tests.browser.playground import PALETTE, Playground
from tests.browser.served import CLASSIFIER, COLD_NUCLEI, COLD_POSE, DETECTOR, DIGITS, NUCLEI, SEGMENTER, asked

pytestmark = pytest.mark.integration


def test_models_are_those_of_the_live_catalog(playground: Playground):
    by_task: dict[str, list[str]] = {}
    for task in ("Classify", "Detect", "Segment", "Pose"):
        playground.page.get_by_role("radio", name=task).check(force=True)
        options = playground.page.get_by_role("combobox", name="Model", exact=True).locator("option")
        by_task[task] = options.all_inner_texts()
    by_task = {task: sorted(option.removesuffix(" (cold)") for option in options) for task, options in by_task.items()}
    assert by_task == {
        "Classify": [CLASSIFIER],
        "Detect": sorted([DETECTOR, DIGITS]),
        "Segment": sorted([SEGMENTER, NUCLEI, COLD_NUCLEI]),
        "Pose": [COLD_POSE],
    }


def test_other_model_is_asked_about_the_same_image(playground: Playground):
    playground.choose(ASTRONAUT)
    playground.wait_for_answer()
    playground.choose_model(DETECTOR, "Detect")
    playground.wait_for_answer()
    assert [name for name, _ in playground.found()] == ["person"]
    assert playground.watch.predictions() == ["POST /v1/classify", "POST /v1/detect"]


def test_score_threshold_redraws_without_a_request(stack: RunningStack, playground: Playground):
    playground.choose_model(DETECTOR, "Detect")
    playground.choose(ASTRONAUT)
    playground.wait_for_answer()
    (person,) = asked(stack.url, "detect", ASTRONAUT.read_bytes(), model=DETECTOR)["predictions"]
    playground.set_range("Score threshold", 0.05)
    more = asked(stack.url, "detect", ASTRONAUT.read_bytes(), model=DETECTOR, score_threshold=0.05)["predictions"]
    assert len(playground.found()) == len(more) > 1
    playground.set_range("Score threshold", 0.99)
    expect(playground.card().locator(".summary")).to_have_text("Nothing above the threshold")
    assert not playground.drawn().has_box(person["box"], PALETTE[0])
    assert playground.drawn().is_as(playground.drawn("original"))
    assert playground.watch.predictions() == ["POST /v1/detect"]


def test_number_of_classes_changes_the_list_without_a_request(stack: RunningStack, playground: Playground):
    playground.choose(COFFEE)
    playground.wait_for_answer()
    for count in (1, 12):
        playground.set_range("Classes shown", count)
        expected = asked(stack.url, "classify", COFFEE.read_bytes(), top_k=count)["predictions"]
        assert [name for name, _ in playground.found()] == [one["class_name"] for one in expected]
    assert playground.watch.predictions() == ["POST /v1/classify"]


def test_classes_are_filtered_without_a_request(playground: Playground):
    playground.choose_model(DIGITS, "Detect")
    playground.take_sample("Digits")
    playground.wait_for_answer()
    first = playground.found()[0][0]
    playground.page.get_by_role("group", name="Classes").get_by_role("checkbox", name=first).uncheck(force=True)
    assert playground.found() and first not in {name for name, _ in playground.found()}
    assert playground.watch.predictions() == ["POST /v1/detect"]


def test_iou_threshold_asks_the_server_once_it_rests(playground: Playground):
    playground.choose_model(DETECTOR, "Detect")
    playground.choose(ASTRONAUT)
    playground.wait_for_answer()
    playground.set_range("Score threshold", 0.05)
    fewer = len(playground.found())
    with playground.page.expect_response("**/v1/detect?*") as response:
        for value in (0.6, 0.7, 0.95):
            playground.set_range("IoU threshold of NMS", value)
    playground.wait_for_answer()
    assert "iou_threshold=0.95" in response.value.url
    assert len(playground.found()) > fewer
    assert len(playground.watch.predictions()) == 2


def test_unticked_object_is_not_drawn(stack: RunningStack, playground: Playground):
    playground.choose_model(DETECTOR, "Detect")
    playground.choose(ASTRONAUT)
    playground.wait_for_answer()
    (person,) = asked(stack.url, "detect", ASTRONAUT.read_bytes(), model=DETECTOR)["predictions"]
    playground.card().get_by_role("checkbox", name="person").uncheck()
    assert playground.drawn().is_as(playground.drawn("original"))
    playground.card().get_by_role("checkbox", name="person").check()
    assert playground.drawn().has_box(person["box"], PALETTE[0])


def test_all_objects_are_hidden_and_shown_by_one_switch(playground: Playground):
    playground.choose_model(NUCLEI, "Segment")
    playground.choose(NUCLEI_IMAGE)
    playground.wait_for_answer()
    shown = playground.drawn()
    playground.card().get_by_role("checkbox", name="all", exact=True).uncheck()
    assert playground.drawn().is_as(playground.drawn("original"))
    playground.card().get_by_role("checkbox", name="all", exact=True).check()
    playground.page.mouse.move(0, 0)
    assert playground.drawn().is_as(shown)
    assert len(playground.watch.predictions()) == 1


def test_object_under_the_pointer_is_highlighted_in_the_list(playground: Playground):
    playground.choose_model(DETECTOR, "Detect")
    playground.choose(ASTRONAUT)
    playground.wait_for_answer()
    row = playground.card().locator("ul.found li").first
    canvas = playground.page.locator("#canvas-result-0")
    canvas.hover(position={"x": 150, "y": 250})
    expect(row).to_have_class("highlighted")
    canvas.hover(position={"x": 395, "y": 20})
    expect(row).not_to_have_class("highlighted")
    row.hover()
    expect(row).to_have_class("highlighted")


def test_two_models_are_shown_side_by_side(playground: Playground):
    playground.choose_model(DETECTOR, "Detect")
    playground.choose(ASTRONAUT)
    playground.page.get_by_label("Compare with").select_option(DIGITS)
    for slot, name in enumerate((DETECTOR, DIGITS)):
        playground.wait_for_answer(slot)
        expect(playground.card(slot).get_by_role("heading")).to_have_text(name)
    assert playground.drawn("result-0").pixels.shape == playground.drawn("result-1").pixels.shape
    playground.page.get_by_label("Compare with").select_option("")
    expect(playground.card(1)).to_be_hidden()


def test_times_of_the_stages_and_a_cached_answer_are_shown(playground: Playground):
    image = {"name": "new.jpg", "mimeType": "image/jpeg", "buffer": COFFEE.read_bytes() + b"new"}
    playground.choose(image)  # pyright: ignore[reportArgumentType]
    playground.wait_for_answer()
    stages = playground.card().get_by_role("list", name="Time of each stage")
    for stage in ("read", "decode", "preprocess", "forward", "postprocess", "network"):
        expect(stages).to_contain_text(stage)
    expect(playground.card().locator(".badges")).not_to_contain_text("cached")
    playground.page.reload()
    playground.choose(image)  # pyright: ignore[reportArgumentType]
    playground.wait_for_answer()
    expect(playground.card().locator(".badges")).to_contain_text("cached")
    expect(stages).not_to_contain_text("forward")

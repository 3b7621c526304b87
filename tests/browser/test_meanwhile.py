"""What has changed while an answer was on its way, and answers that do not fit what is shown."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Route, expect

from tests.browser.pictures import ASTRONAUT, COFFEE
from tests.browser.playground import Playground
from tests.browser.served import CLASSIFIER, DETECTOR, DIGITS

pytestmark = pytest.mark.integration

_IS_BLANK = """canvas => !canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean)"""


class Held:
    """Keeps requests of a page waiting.

    Args:
        playground: The page.
        pattern: Of their addresses.
    """

    def __init__(self, playground: Playground, pattern: str) -> None:
        self.routes: list[Route] = []
        self._page, self._pattern, self._is_released = playground.page, pattern, False
        playground.page.route(pattern, self.hold)

    def hold(self, route: Route) -> None:
        """Keep one waiting."""
        if self._is_released:
            route.continue_()
        else:
            self.routes.append(route)

    def wait(self, count: int = 1) -> None:
        """Wait until so many requests have been sent."""
        give_up_at = time.monotonic() + 20
        while len(self.routes) < count:
            assert time.monotonic() < give_up_at, f"no request of {self._pattern}"
            self._page.wait_for_timeout(20)

    def release(self) -> None:
        """Let them go on, and those that follow."""
        self._is_released = True
        for route in self.routes:
            route.continue_()


def answer_otherwise(playground: Playground, pattern: str, change: Callable[[Any], Any]) -> None:
    """Change the JSON of answers."""

    def fulfil(route: Route) -> None:
        response = route.fetch()
        route.fulfill(response=response, body=json.dumps(change(response.json())))

    playground.page.route(pattern, fulfil)


def detect(playground: Playground, model: str = DETECTOR) -> None:
    """Ask a detector about the astronaut."""
    playground.choose_model(model, "Detect")
    playground.choose(ASTRONAUT)
    playground.wait_for_answer()


def test_file_that_is_no_image_leaves_nothing_of_the_photo_before(playground: Playground):
    playground.watch.expected.append("the server responded with a status of 4")
    detect(playground)
    playground.choose({"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no image"})
    playground.problem()
    for name in ("original", "result-0"):
        assert playground.page.locator(f"#canvas-{name}").evaluate(_IS_BLANK)


def test_class_of_an_earlier_answer_is_not_asked_for(playground: Playground):
    held = Held(playground, f"**/v1/models/{CLASSIFIER}")
    playground.choose(COFFEE)
    playground.wait_for_answer()
    feedback = playground.card().get_by_role("group", name="Feedback")
    feedback.get_by_role("button", name="Wrong").click()
    held.wait()
    playground.choose(ASTRONAUT)
    playground.wait_for_answer()
    with playground.page.expect_response(f"**/v1/models/{CLASSIFIER}"):
        held.release()
    playground.page.wait_for_timeout(100)
    expect(feedback).to_contain_text("Is this right?")
    expect(feedback.get_by_label("It is")).to_have_count(0)


def test_focus_stays_in_the_feedback_when_its_button_goes(playground: Playground):
    detect(playground)
    feedback = playground.card().get_by_role("group", name="Feedback")
    feedback.get_by_role("button", name="Wrong").press("Enter")
    feedback.get_by_role("button", name="Cancel").press("Enter")
    expect(feedback).to_be_focused()
    feedback.get_by_role("button", name="Right").press("Enter")
    expect(feedback).to_contain_text("Recorded.")
    expect(feedback).to_be_focused()


def test_feedback_waits_for_the_answer_that_replaces_this_one(playground: Playground):
    detect(playground)
    held = Held(playground, "**/v1/detect?*")
    playground.set_range("IoU threshold of NMS", 0.9)
    held.wait()
    right = playground.card().get_by_role("button", name="Right")
    expect(right).to_be_disabled()
    held.release()
    playground.wait_for_answer()
    expect(right).to_be_enabled()


def test_truth_is_not_recorded_of_other_objects_than_are_shown(playground: Playground):
    detect(playground)
    answer_otherwise(playground, "**/v1/detect?*", lambda body: {**body, "predictions": body["predictions"] * 2})
    playground.card().get_by_role("button", name="Right").click()
    expect(playground.card().get_by_role("alert")).to_contain_text("with other objects than are shown")
    assert "POST /v1/feedback" not in playground.watch.requests


def test_last_class_of_the_filter_stays_ticked(playground: Playground):
    playground.choose_model(DIGITS, "Detect")
    playground.take_sample("Digits")
    playground.wait_for_answer()
    boxes = playground.page.get_by_role("group", name="Classes").get_by_role("checkbox")
    expect(boxes).to_have_count(10)
    for box in boxes.all()[:-1]:
        box.uncheck(force=True)
    boxes.last.click(force=True)
    expect(boxes.last).to_be_checked()
    expect(playground.page.get_by_role("group", name="Classes")).to_contain_text("at least one")
    assert "classes=9" in playground.shown_code("curl")


def test_ticks_of_one_model_outlive_the_answer_of_the_other(playground: Playground):
    detect(playground)
    person = playground.card().get_by_role("checkbox", name="person")
    person.uncheck()
    playground.page.get_by_label("Compare with").select_option(DIGITS)
    playground.wait_for_answer(1)
    expect(person).not_to_be_checked()


def test_slow_sample_does_not_replace_a_later_file(playground: Playground):
    held = Held(playground, "**/playground/sample-astronaut.jpg")
    playground.page.locator("#sample-astronaut").click()
    held.wait()
    playground.choose(COFFEE)
    playground.wait_for_answer()
    with playground.page.expect_response("**/playground/sample-astronaut.jpg"):
        held.release()
    playground.page.wait_for_timeout(100)
    expect(playground.page.locator("#image-facts")).to_contain_text("coffee.jpg")


def test_box_of_an_augmented_answer_is_explained_as_the_server_counts(playground: Playground):
    def put_first(body: Any) -> Any:
        (person, *others) = body["predictions"]
        other = {**person, "box": {"x_min": 0.0, "y_min": 0.0, "x_max": 9.0, "y_max": 9.0}}
        return {**body, "predictions": [other, person, *others]}

    answer_otherwise(playground, "**/v1/detect?*augment=true*", put_first)
    explained = Held(playground, "**/v1/explain?*")
    playground.page.get_by_role("radio", name="Detect").check(force=True)
    playground.page.get_by_role("switch", name="Augment").check(force=True)
    detect(playground)
    playground.page.locator("#why-0-1").click()
    explained.wait()
    held = Held(playground, "**/v1/detect?*")
    playground.page.get_by_role("switch", name="Augment").uncheck(force=True)
    held.wait()  # the shown answer is still the augmented one
    playground.page.get_by_label("Method").select_option("Occlusion")
    held.release()
    explained.wait(2)
    assert ["box=0" in route.request.url for route in explained.routes] == [True, True]


def test_late_list_of_models_does_not_replace_a_newer_one(playground: Playground):
    playground.choose_model(DIGITS, "Detect")
    playground.take_sample("Digits")
    playground.wait_for_answer()
    playground.page.get_by_role("group", name="Classes").get_by_role("checkbox", name="3").uncheck(force=True)
    held = Held(playground, "**/v1/models")
    come_back = "() => document.dispatchEvent(new Event('visibilitychange'))"
    for count in (1, 2):
        playground.page.evaluate(come_back)
        held.wait(count)
    late, newer = held.routes
    response = newer.fetch()
    body = response.json()
    left = [one for one in body["models"] if one["name"] != DIGITS]
    newer.fulfill(response=response, json={**body, "models": left})
    options = playground.page.get_by_role("combobox", name="Model", exact=True)
    expect(options).to_have_value(DETECTOR)
    with playground.page.expect_response("**/v1/models"):
        late.continue_()
    playground.page.wait_for_timeout(100)
    expect(options.locator("option")).to_have_text([DETECTOR])
    assert "classes" not in playground.shown_code("curl"), "the filter of the other model was kept"


def test_model_of_signals_is_not_offered_for_images(playground: Playground):
    def add(body: Any) -> Any:
        (entry, *_) = [one for one in body["models"] if one["name"] == CLASSIFIER]
        signals = {**entry, "name": "signals", "preprocessing": {"length": 40, "mean": 0.0, "std": 1.0}}
        return {**body, "models": [signals, *body["models"]]}

    answer_otherwise(playground, "**/v1/models", add)
    playground.page.reload()
    options = playground.page.get_by_role("combobox", name="Model", exact=True).locator("option")
    expect(options).to_have_text([CLASSIFIER])

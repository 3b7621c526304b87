"""Right and wrong: ground truth that counts towards `/v1/accuracy`; and the view that draws what that says."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect
from running import RunningStack

from services.accuracy.drift import Distribution
from services.accuracy.store import RecordedRun, record_run
from services.settings import Settings
from tests.browser.pictures import ASTRONAUT, COFFEE, NUCLEI_IMAGE
from tests.browser.playground import Playground
from tests.browser.served import CLASSIFIER, DETECTOR, NUCLEI, SEGMENTER

pytestmark = pytest.mark.integration

IMAGES = 100
"""Fewest images of a window, and of an evaluation, that drift is computed for."""


def live(url: str, model: str) -> dict[str, Any]:
    """What feedback says of a model."""
    (entry,) = [one for one in httpx.get(f"{url}/v1/accuracy").json()["models"] if one["name"] == model]
    return entry["live"] or {"samples": 0, "figures": {}}


def wait_for_samples(url: str, model: str, samples: int) -> dict[str, Any]:
    """What feedback says of a model, once it counts so many."""
    give_up_at = time.monotonic() + 30
    while (told := live(url, model))["samples"] != samples:
        assert time.monotonic() < give_up_at, told
        time.sleep(0.1)
    return told


@pytest.mark.parametrize(
    ("model", "task", "image", "figures"),
    [
        (DETECTOR, "Detect", ASTRONAUT, {"precision": 1.0, "recall": 1.0}),
        (NUCLEI, "Segment", NUCLEI_IMAGE, {"precision": 1.0, "recall": 1.0}),
        (SEGMENTER, "Segment", ASTRONAUT, {"iou": 1.0}),
    ],
)
def test_right_makes_what_is_shown_the_truth(
    stack: RunningStack, playground: Playground, model: str, task: str, image: Path, figures: dict[str, float]
):
    before = live(stack.url, model)["samples"]
    playground.choose_model(model, task)
    playground.choose(image)
    playground.wait_for_answer()
    playground.card().get_by_role("button", name="Right").click()
    expect(playground.card().get_by_role("group", name="Feedback")).to_contain_text("Recorded. Live accuracy over")
    told = wait_for_samples(stack.url, model, before + 1)
    assert {name: told["figures"][name] for name in figures} == pytest.approx(figures)


def test_right_and_wrong_classes_count_as_such(stack: RunningStack, playground: Playground):
    feedback = playground.card().get_by_role("group", name="Feedback")
    before = live(stack.url, CLASSIFIER)["samples"]
    playground.choose(COFFEE)
    playground.wait_for_answer()
    feedback.get_by_role("button", name="Right").click()
    expect(feedback).to_contain_text("Recorded.")
    playground.choose(ASTRONAUT)
    playground.wait_for_answer()
    feedback.get_by_role("button", name="Wrong").click()
    feedback.get_by_label("It is").fill("no class of this model")
    feedback.get_by_role("button", name="Send").click()
    expect(feedback.get_by_role("alert")).to_have_text("The model has no such class; choose one of the list.")
    feedback.get_by_label("It is").fill("space shuttle")
    feedback.get_by_role("button", name="Send").click()
    expect(feedback).to_contain_text("Recorded.")
    told = wait_for_samples(stack.url, CLASSIFIER, before + 2)
    if before == 0:
        assert told["figures"]["top1"] == 0.5


def test_unticked_object_counts_as_wrong(stack: RunningStack, playground: Playground):
    before = live(stack.url, DETECTOR)
    image = {"name": "new.jpg", "mimeType": "image/jpeg", "buffer": ASTRONAUT.read_bytes() + b"wrong"}
    playground.choose_model(DETECTOR, "Detect")
    playground.choose(image)  # pyright: ignore[reportArgumentType]
    playground.wait_for_answer()
    feedback = playground.card().get_by_role("group", name="Feedback")
    feedback.get_by_role("button", name="Wrong").click()
    playground.card().get_by_role("checkbox", name="person").uncheck()
    feedback.get_by_role("button", name="Send what is ticked").click()
    expect(feedback).to_contain_text("Recorded.")
    told = wait_for_samples(stack.url, DETECTOR, before["samples"] + 1)
    assert told["figures"]["precision"] < before["figures"].get("precision", 1.01)


def test_feedback_on_an_answer_is_offered_once(playground: Playground):
    playground.choose(COFFEE)
    playground.wait_for_answer()
    feedback = playground.card().get_by_role("group", name="Feedback")
    feedback.get_by_role("button", name="Right").click()
    expect(feedback).to_contain_text("Recorded.")
    expect(feedback.get_by_role("button")).to_have_count(0)
    playground.choose(ASTRONAUT)
    playground.wait_for_answer()
    expect(feedback.get_by_role("button", name="Right")).to_be_visible()


@pytest.fixture(scope="module")
def evaluated(stack: RunningStack, accuracy_file: Path) -> Iterator[None]:
    """A recorded evaluation of the classifier, and enough images for drift."""
    served = httpx.get(f"{stack.url}/v1/models/{CLASSIFIER}").json()
    sure = Distribution([0] * 9 + [IMAGES], {967: IMAGES}, IMAGES)  # all espressos, and sure of it
    run = RecordedRun(
        model=CLASSIFIER,
        version=served["version"],
        weights_digest=served["weights_digest"],
        kind="classification",
        dataset="<b>cups</b>",
        dataset_digest="0123456789abcdef",
        through="gateway",
        images=IMAGES,
        finished_at_s=time.time() - 3600,
        figures={"top1": (0.9, 0.83, 0.95), "top5": (0.97, 0.93, 0.99), "ece": (0.04, float("nan"), float("nan"))},
        protocol={},
        reference=sure.to_dict(),
    )
    record_run(run, Settings(accuracy_file=accuracy_file))
    with httpx.Client(base_url=stack.url, timeout=60) as client:
        for at in range(IMAGES):
            content = COFFEE.read_bytes() + f"{at}".encode()
            client.post("/v1/classify", content=content, headers={"content-type": "image/jpeg"}).raise_for_status()
    yield


def region_of(page: Page, model: str) -> Any:
    """What the view of accuracy says of a model."""
    return page.get_by_role("region", name=model)


@pytest.mark.usefixtures("evaluated")
def test_view_of_accuracy_has_evaluations_feedback_and_drift(playground: Playground):
    playground.choose(COFFEE)
    playground.wait_for_answer()
    playground.card().get_by_role("button", name="Right").click()
    expect(playground.card().get_by_role("group", name="Feedback")).to_contain_text("Recorded.")
    playground.page.get_by_role("tab", name="Accuracy").click()
    of_classifier = region_of(playground.page, CLASSIFIER)
    give_up_at = time.monotonic() + 30  # gateways read recorded evaluations every five seconds
    while "drift of score" not in of_classifier.inner_text() and time.monotonic() < give_up_at:
        with playground.page.expect_response("**/v1/accuracy"):
            playground.page.get_by_role("button", name="Refresh").click()
    expect(of_classifier).to_contain_text(f"Evaluated on <b>cups</b>, {IMAGES} images")
    expect(of_classifier).to_contain_text("0.900 (0.830 to 0.950)")
    expect(of_classifier).to_contain_text("live")
    expect(of_classifier).to_contain_text("drift of score")
    expect(of_classifier.locator("svg").first).to_be_visible()
    expect(region_of(playground.page, NUCLEI)).to_contain_text("No evaluation is recorded")

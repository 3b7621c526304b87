"""Key points on the page: drawn where the API finds them, filtered by a slider, and counted as ground truth."""

from __future__ import annotations

import httpx
import pytest
from playwright.sync_api import expect
from running import RunningStack

from tests.browser.pictures import ASTRONAUT
from tests.browser.playground import Playground
from tests.browser.served import COLD_POSE, asked

pytestmark = pytest.mark.integration

WHITE = (255, 255, 255)
"""Of the dots."""


@pytest.fixture
def posed(playground: Playground) -> Playground:
    """The page with the poses of the astronaut."""
    playground.choose_model(COLD_POSE, "Pose")
    playground.choose(ASTRONAUT)
    playground.wait_for_answer()
    return playground


def test_key_points_are_drawn_where_the_api_finds_them(stack: RunningStack, posed: Playground):
    (person, *_) = asked(stack.url, "pose", ASTRONAUT.read_bytes(), model=COLD_POSE)["predictions"]
    seen = [point for point in person["keypoints"] if point["visible"]]
    assert len(seen) >= 5
    posed.page.mouse.move(0, 0)
    white = [point["name"] for point in seen if posed.drawn().at(point["x"], point["y"]) == WHITE]
    assert len(white) >= len(seen) - 2, "dots may cover each other"


def test_key_points_below_the_threshold_are_not_drawn(posed: Playground):
    before = posed.drawn()
    posed.set_range("Key point threshold", 1)
    assert not posed.drawn().is_as(before)
    assert posed.watch.predictions() == ["POST /v1/pose"]
    assert "keypoint_threshold=1" in posed.shown_code("curl")


def test_poses_have_no_heat_maps_to_ask_for(posed: Playground):
    expect(posed.card().get_by_role("checkbox", name="person").first).to_be_visible()
    expect(posed.card().get_by_role("button", name="Why")).to_have_count(0)
    posed.page.locator("#canvas-result-0").click(position={"x": 150, "y": 250})
    expect(posed.page.locator("#why")).to_be_hidden()


def test_right_makes_the_shown_poses_the_truth(stack: RunningStack, posed: Playground):
    posed.card().get_by_role("button", name="Right").click()
    expect(posed.card().get_by_role("group", name="Feedback")).to_contain_text("Recorded. Live accuracy over")
    (entry,) = [one for one in httpx.get(f"{stack.url}/v1/accuracy").json()["models"] if one["name"] == COLD_POSE]
    assert entry["live"]["figures"]["recall"] == 1.0

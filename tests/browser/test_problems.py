"""What goes wrong is said in its place: files that are no images, huge ones, limits, a server that is gone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Route, expect
from running import RunningStack

from tests.browser.apart import gateway_apart
from tests.browser.pictures import ASTRONAUT, COFFEE, grey
from tests.browser.playground import Playground
from tests.browser.served import CLASSIFIER, DETECTOR

pytestmark = pytest.mark.integration

HOSTILE = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>'\"${document.title}"
"""What would be markup or a script, if the page made any of text."""


@pytest.mark.parametrize(
    ("name", "media_type", "data", "expected"),
    [
        ("notes.txt", "text/plain", b"some text", ["415", "unsupported_content_type"]),
        ("photo.jpg", "image/jpeg", b"some text", ["unsupported_image"]),
        ("photo.jpg", "image/jpeg", b"", ["400"]),
        ("photo.jpg", "image/jpeg", COFFEE.read_bytes()[:9000], ["broken_image"]),
        ("page.html", "text/html", b"<script>alert(1)</script>", ["415"]),
        (
            "drawing.svg",
            "image/svg+xml",
            b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
            ["unsupported"],
        ),
    ],
    ids=["text", "text named as photo", "empty", "cut off", "page", "drawing"],
)
def test_file_that_is_no_image_is_named_as_such(
    playground: Playground, name: str, media_type: str, data: bytes, expected: list[str]
):
    playground.watch.expected.append("status of 4")
    playground.choose({"name": name, "mimeType": media_type, "buffer": data})
    problem = playground.problem()
    assert [part for part in expected if part not in problem] == []
    expect(playground.page.locator("#image-facts")).to_contain_text(name)
    playground.choose(COFFEE)
    playground.wait_for_answer()
    assert playground.found()[0][0] == "espresso"


def test_photo_of_more_than_fifty_megapixels_is_refused_in_place(playground: Playground, tmp_path: Path):
    playground.watch.expected.append("status of 4")
    photo = tmp_path / "huge.jpg"
    photo.write_bytes(grey(6400, 8000))
    playground.choose(photo)
    problem = playground.problem()
    assert "image_too_large" in problem and "50000000" in problem.replace(",", "").replace(" ", "")
    expect(playground.page.locator("#image-facts")).to_contain_text("8000 × 6400 pixels")
    expect(playground.page.locator("#canvas-original")).to_be_visible()


def test_file_above_the_limit_of_a_body_is_refused_in_place(playground: Playground, tmp_path: Path):
    playground.watch.expected += ["status of 4", "ERR_CONNECTION"]
    photo = tmp_path / "large.jpg"
    with photo.open("wb") as file:
        file.write(COFFEE.read_bytes())
        file.truncate(70 * 2**20)
    playground.choose(photo)
    assert any(code in playground.problem() for code in ("body_too_large", "image_too_large"))


def test_server_that_is_gone_is_said_to_be(visit: Callable[[str], Playground]):
    with gateway_apart(CLASSIFIER) as gateway:
        playground = visit(gateway.url)
        playground.choose(COFFEE)
        playground.wait_for_answer()
    playground.watch.expected.append("ERR_CONNECTION_REFUSED")
    playground.choose(ASTRONAUT)
    assert "The server cannot be reached; is it still running?" in playground.problem()
    playground.page.get_by_role("button", name="Nuclei").click()
    expect(playground.page.locator("#image-problem")).to_have_text(
        "The sample cannot be loaded. Is the server still running?"
    )
    playground.page.get_by_role("tab", name="Accuracy").click()
    expect(playground.page.locator("#view-accuracy").get_by_role("alert")).to_contain_text("cannot be reached")


def test_request_is_tried_again_once_the_network_is_back(context: BrowserContext, playground: Playground):
    playground.watch.expected.append("ERR_INTERNET_DISCONNECTED")
    context.set_offline(True)
    playground.choose(COFFEE)
    assert "There is no network." in playground.problem()
    context.set_offline(False)
    playground.card().get_by_role("button", name="Try again").click()
    playground.wait_for_answer()
    assert playground.found()[0][0] == "espresso"


def test_limit_of_requests_says_when_to_try_again(visit: Callable[[str], Playground]):
    with gateway_apart(CLASSIFIER, rate_limit="3/hour") as gateway:
        playground = visit(gateway.url)
        playground.watch.expected.append("status of 429")
        for image in (COFFEE, ASTRONAUT):
            playground.choose(image)
            playground.wait_for_answer()
        playground.choose(COFFEE)
        problem = playground.problem()
        assert "429" in problem and "Try again in" in problem
        expect(playground.card().get_by_role("button", name="Try again")).to_be_visible()


def test_page_of_a_server_that_turns_it_off_is_not_there(context: BrowserContext):
    with gateway_apart("noop", playground=False) as gateway:
        page = context.new_page()
        response = page.goto(f"{gateway.url}/")
        assert response is not None and response.status == 404
        assert json.loads(response.text())["error"]["code"] == "not_found"
        assert page.locator("script").count() == 0


def test_names_of_a_hostile_server_are_shown_as_text(stack: RunningStack, visit: Callable[[str], Playground]):
    playground = visit(stack.url)

    def rename(route: Route) -> None:
        is_request = "/v1/detect" in route.request.url  # with the model's name, which it does not have
        answer = route.fetch(url=f"{stack.url}/v1/detect?model={DETECTOR}") if is_request else route.fetch()
        text = answer.text()
        for name in (DETECTOR, "person"):
            text = text.replace(json.dumps(name), json.dumps(HOSTILE))
        route.fulfill(response=answer, body=text)

    playground.page.route(re.compile("/v1/"), rename)
    playground.page.reload()
    playground.choose_model(HOSTILE, "Detect")
    playground.choose(ASTRONAUT)
    playground.wait_for_answer()
    assert playground.found()[0][0] == HOSTILE
    expect(playground.card().get_by_role("heading")).to_have_text(HOSTILE)
    playground.page.get_by_role("tab", name="Accuracy").click()
    expect(playground.page.locator("#view-accuracy")).to_contain_text(HOSTILE)
    assert_untouched(playground)


def test_messages_of_a_hostile_server_are_shown_as_text(stack: RunningStack, visit: Callable[[str], Playground]):
    playground = visit(stack.url)
    playground.watch.expected.append("status of 400")
    error = {"code": HOSTILE, "message": HOSTILE, "details": {}, "request_id": HOSTILE}
    playground.page.route("**/v1/classify*", lambda route: route.fulfill(status=400, body=json.dumps({"error": error})))
    playground.choose(COFFEE)
    assert playground.problem().count(HOSTILE) == 3
    assert_untouched(playground)


def assert_untouched(playground: Playground) -> None:
    """Fail where a text became an element or ran."""
    assert playground.page.title() == "Tapetum playground"
    assert playground.page.locator("img[src=x]").count() == 0
    assert playground.page.locator("script").count() == 1


def test_answer_that_is_no_json_is_an_error_in_place(stack: RunningStack, visit: Callable[[str], Playground]):
    playground = visit(stack.url)
    playground.watch.expected.append("status of 502")
    playground.page.route("**/v1/classify*", lambda route: route.fulfill(status=502, body="<h1>Bad Gateway</h1>"))
    playground.choose(COFFEE)
    assert "502" in playground.problem() and "Bad Gateway" not in playground.problem()
    playground.page.unroute_all()
    playground.page.route("**/v1/classify*", lambda route: route.fulfill(status=200, body="<h1>proxy</h1>"))
    playground.card().get_by_role("button", name="Try again").click()
    assert "The server's answer is not JSON." in playground.problem()

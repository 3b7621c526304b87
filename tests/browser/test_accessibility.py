"""The playground without a mouse, for screen readers (axe-core's rules), in light and dark, and on a phone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from running import RunningStack

from tests.browser.apart import gateway_apart
from tests.browser.axe import violations
from tests.browser.pictures import ASTRONAUT, NUCLEI_IMAGE
from tests.browser.playground import Playground
from tests.browser.served import CLASSIFIER, DETECTOR, DIGITS, NUCLEI

pytestmark = pytest.mark.integration

MOST_STOPS = 80
"""More stops of the Tab key than the page has."""

LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 900}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 900}},
    "phone": {"color_scheme": "light", "viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True},
    "dark phone": {
        "color_scheme": "dark",
        "viewport": {"width": 360, "height": 740},
        "has_touch": True,
        "is_mobile": True,
    },
}


@pytest.fixture(params=LOOKS)
def looked_at(request: pytest.FixtureRequest, browser: Browser, stack: RunningStack) -> Iterator[Playground]:
    """The playground in a look."""
    with closing(browser.new_context(**LOOKS[request.param], reduced_motion="reduce")) as context:
        made = Playground(context, stack.url)
        made.open()
        yield made
        assert made.watch.unexpected() == []


def is_wider_than_the_window(page: Page) -> bool:
    """Whether the page has to be scrolled sideways."""
    return page.evaluate("() => document.scrollingElement.scrollWidth > document.documentElement.clientWidth")


def assert_accessible(playground: Playground) -> None:
    """Fail where axe-core finds something, or the page is too wide."""
    assert violations(playground.page) == []
    assert not is_wider_than_the_window(playground.page)


def test_no_state_of_the_page_breaks_a_rule_of_axe(looked_at: Playground):
    assert_accessible(looked_at)
    looked_at.choose_model(DETECTOR, "Detect")
    looked_at.choose(ASTRONAUT)
    looked_at.page.get_by_label("Compare with").select_option(DIGITS)
    looked_at.wait_for_answer(0)
    looked_at.wait_for_answer(1)
    assert_accessible(looked_at)
    looked_at.page.get_by_label("Compare with").select_option("")
    looked_at.choose_model(NUCLEI, "Segment")
    looked_at.choose(NUCLEI_IMAGE)
    looked_at.wait_for_answer()
    looked_at.card().get_by_role("checkbox", name="nucleus").first.uncheck()
    looked_at.card().get_by_role("button", name="Wrong").click()
    assert_accessible(looked_at)
    looked_at.choose_model(CLASSIFIER, "Classify")
    looked_at.wait_for_answer()
    looked_at.card().get_by_role("button", name="Wrong").click()
    expect(looked_at.card().get_by_label("It is")).to_be_visible()
    assert_accessible(looked_at)
    looked_at.page.get_by_role("button", name="API key").click()
    looked_at.page.get_by_role("tab", name="JavaScript").click()
    assert_accessible(looked_at)
    looked_at.page.get_by_role("tab", name="Accuracy").click()
    expect(looked_at.page.get_by_role("region", name=DETECTOR)).to_be_visible()
    assert_accessible(looked_at)


def test_errors_and_the_question_for_a_key_break_no_rule_of_axe(visit: Callable[[str], Playground]):
    key = "a-key-of-this-test"
    with gateway_apart(CLASSIFIER, api_keys=(key,)) as gateway:
        playground = visit(gateway.url)
        playground.watch.expected += ["status of 40", "status of 41"]
        assert_accessible(playground)
        playground.enter_key("another-key")
        expect(playground.page.locator("#key-problem")).to_contain_text("does not accept")
        assert_accessible(playground)
        playground.enter_key(key)
        playground.choose({"name": "notes.txt", "mimeType": "text/plain", "buffer": b"a text"})
        assert "415" in playground.problem()
        assert_accessible(playground)


def stops(page: Page) -> Iterator[Locator]:
    """The elements that the Tab key reaches, in their order; focused one after the other."""
    seen: list[str] = []
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        focused = page.locator("*:focus")
        if focused.count() == 0:
            return
        seen.append(focused.evaluate("element => element.outerHTML.slice(0, 200)"))
        yield focused
    raise AssertionError(f"the Tab key never leaves the page: {seen}")


def tab_to(page: Page, wanted: Locator) -> None:
    """Press Tab until an element is focused."""
    for _ in stops(page):
        if wanted.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"the Tab key does not reach {wanted}")


def test_every_stop_of_the_tab_key_has_a_name_and_is_seen(playground: Playground):
    playground.choose_model(DETECTOR, "Detect")
    playground.choose(ASTRONAUT)
    playground.wait_for_answer()
    page, names = playground.page, []
    page.mouse.click(1, 1)  # in the header, before its first control
    for stop in stops(page):
        names.append(stop.evaluate("element => element.id || element.textContent.trim()"))
        looks = [page.screenshot(animations="disabled")]
        page.evaluate("() => { window.last = document.activeElement; window.last.blur() }")
        looks.append(page.screenshot(animations="disabled"))
        page.evaluate("() => window.last.focus()")
        assert looks[0] != looks[1], f"the focus on {names[-1]} is not seen"
    order = ["tab-try", "key-open", "API docs", "file", "sample-astronaut", "model", "second"]
    assert [name for name in names if name in order] == order
    reached = ("parameter-scoreThreshold", "show-0-0", "why-0-0", "right-0", "wrong-0", "copy", "language-curl", "code")
    assert [name for name in reached if name not in names] == []


def test_first_stop_is_a_link_that_leads_to_the_result(playground: Playground):
    playground.page.keyboard.press("Tab")
    skip = playground.page.get_by_role("link", name="Skip to the result")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    playground.page.keyboard.press("Enter")
    expect(playground.page.locator("#result")).to_be_focused()


def test_whole_visit_is_possible_with_the_keyboard_alone(playground: Playground):
    page, press = playground.page, playground.page.keyboard.press
    page.on("filechooser", lambda _: None)  # Chromium hands it over from now on, and not only once Enter is pressed
    tab_to(page, page.locator("#file"))
    with page.expect_file_chooser() as chooser:
        press("Enter")
    chooser.value.set_files(ASTRONAUT)
    playground.wait_for_answer()
    tab_to(page, page.get_by_role("radio", name="Classify"))
    press("ArrowRight")
    playground.wait_for_answer()
    assert [name for name, _ in playground.found()] == ["person"]
    tab_to(page, page.get_by_role("slider", name="Score threshold"))
    press("Home")
    expect(playground.card().locator(".summary")).to_contain_text("objects")
    several = len(playground.found())
    tab_to(page, playground.card().get_by_role("checkbox", name="person").first)
    press("Space")
    expect(page.locator("#show-0-0")).not_to_be_checked()
    expect(page.locator("#show-0-0")).to_be_focused()
    assert len(playground.found()) == several
    press("Space")
    tab_to(page, playground.card().get_by_role("button", name="Right"))
    press("Enter")
    expect(playground.card().get_by_role("group", name="Feedback")).to_contain_text("Recorded.")
    tab_to(page, page.get_by_role("tab", name="curl"))
    press("ArrowRight")
    expect(page.get_by_role("tab", name="Python", exact=True)).to_be_focused()
    expect(page.locator("#code")).to_contain_text("from services.client import Client")


def test_views_are_changed_with_the_arrows(playground: Playground):
    page = playground.page
    tab_to(page, page.get_by_role("tab", name="Try"))
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Layers")).to_be_focused()
    expect(page.locator("#view-layers")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Accuracy")).to_be_focused()
    expect(page.get_by_role("region", name=DETECTOR)).to_be_visible()
    page.keyboard.press("Home")
    expect(page.locator("#view-try")).to_be_visible()


def test_answer_is_announced(playground: Playground):
    status = playground.page.locator("#status")
    playground.choose_model(DETECTOR, "Detect")
    playground.choose(ASTRONAUT)
    playground.wait_for_answer()
    expect(status).to_contain_text(f"{DETECTOR}: person")
    expect(playground.page.get_by_role("img", name=f"{DETECTOR}: person")).to_be_visible()


def test_letters_can_be_twice_as_large_on_a_phone(browser: Browser, stack: RunningStack):
    with closing(browser.new_context(viewport={"width": 320, "height": 640})) as context:  # WCAG 2.2, 1.4.10: reflow
        playground = Playground(context, stack.url)
        playground.open()
        playground.choose(ASTRONAUT)
        playground.wait_for_answer()
        assert not is_wider_than_the_window(playground.page)

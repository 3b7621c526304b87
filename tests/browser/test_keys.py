"""A server with API keys: the page asks for one, says what is wrong with it, and keeps it in its memory only."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.apart import gateway_apart
from tests.browser.pictures import COFFEE
from tests.browser.playground import Playground
from tests.browser.served import CLASSIFIER
from tests.unit.hosted_gateway import HostedGateway

pytestmark = pytest.mark.integration

KEY = "the-right-key-of-this-test"
_STORED = """async () => JSON.stringify([
    {...localStorage}, {...sessionStorage}, document.cookie, await indexedDB.databases(), await caches.keys(),
    location.href, document.title, history.state, window.name, document.documentElement.outerHTML,
])"""


@pytest.fixture(scope="module")
def gateway() -> Iterator[HostedGateway]:
    """A gateway that asks for a key."""
    with gateway_apart(CLASSIFIER, api_keys=(KEY,)) as made:
        yield made


@pytest.fixture
def playground(gateway: HostedGateway, visit: Callable[[str], Playground]) -> Playground:
    """Its playground, before a key is entered; the browser itself logs the refusals."""
    made = visit(gateway.url)
    made.watch.expected += ["status of 401", "status of 403"]
    return made


def test_key_is_asked_for_at_once(playground: Playground):
    expect(playground.page.get_by_role("heading", name="API key")).to_be_visible()
    expect(playground.page.locator("#key-problem")).to_have_text("This server needs an API key.")
    expect(playground.page.get_by_label("Key", exact=True)).to_be_focused()
    assert playground.page.get_by_label("Key", exact=True).get_attribute("type") == "password"


def test_wrong_key_is_named_as_wrong_where_it_was_entered(playground: Playground):
    playground.enter_key("a-wrong-key")
    expect(playground.page.locator("#key-problem")).to_contain_text("The server does not accept this key")
    expect(playground.page.get_by_label("Key", exact=True)).to_be_focused()


def test_key_that_no_header_can_carry_is_refused_in_place(playground: Playground):
    sent = len(playground.watch.requests)
    for key in ("Schlüssel", "two words", ""):
        playground.enter_key(key)
        expect(playground.page.locator("#key-problem")).to_contain_text("A key has letters")
    assert len(playground.watch.requests) == sent


def test_right_key_opens_the_page_after_a_wrong_one(playground: Playground):
    playground.enter_key("a-wrong-key")
    expect(playground.page.locator("#key-problem")).to_contain_text("does not accept")
    playground.enter_key(KEY)
    expect(playground.page.get_by_role("heading", name="API key")).to_be_hidden()
    playground.choose(COFFEE)
    playground.wait_for_answer()
    assert playground.found()[0][0] == "espresso"


def test_image_that_was_refused_is_sent_again_with_the_key(playground: Playground):
    playground.choose(COFFEE)
    playground.enter_key(KEY)
    playground.wait_for_answer()
    assert playground.found()[0][0] == "espresso"


def test_key_is_kept_in_memory_only(context: BrowserContext, playground: Playground):
    sent: list[str] = []
    playground.page.on("request", lambda request: sent.append(request.url))
    playground.enter_key(KEY)
    expect(playground.page.get_by_role("heading", name="API key")).to_be_hidden()
    playground.choose(COFFEE)
    playground.wait_for_answer()
    assert KEY not in playground.page.evaluate(_STORED)
    assert [url for url in sent if KEY in url] == []
    assert context.storage_state() == {"cookies": [], "origins": []}
    playground.page.reload()
    expect(playground.page.locator("#key-problem")).to_have_text("This server needs an API key.")
    expect(playground.page.get_by_label("Key", exact=True)).to_have_value("")


def test_key_is_sent_as_a_header_to_this_server_only(playground: Playground):
    with playground.page.expect_request("**/v1/models") as request:
        playground.enter_key(KEY)
    assert request.value.headers["x-api-key"] == KEY
    with playground.page.expect_request("**/sample-coffee.jpg") as sample:
        playground.take_sample("Coffee")
    assert KEY not in sample.value.headers.values()


def test_forgotten_key_is_asked_for_again(playground: Playground):
    playground.enter_key(KEY)
    expect(playground.page.get_by_role("heading", name="API key")).to_be_hidden()
    playground.page.get_by_role("button", name="API key").click()
    playground.page.get_by_role("button", name="Forget it").click()
    expect(playground.page.locator("#key-problem")).to_contain_text("This server needs an API key")
    expect(playground.page.get_by_label("Key", exact=True)).to_have_value("")


def test_key_that_is_revoked_while_the_page_is_open_is_asked_for_in_place(
    playground: Playground, context: BrowserContext
):
    playground.enter_key(KEY)
    expect(playground.page.get_by_role("heading", name="API key")).to_be_hidden()

    def with_another_key(route: object) -> None:
        headers = {**route.request.headers, "x-api-key": "revoked"}  # type: ignore[attr-defined]
        route.continue_(headers=headers)  # type: ignore[attr-defined]

    context.route("**/v1/classify*", with_another_key)
    playground.choose(COFFEE)
    assert re.search(r"forbidden\W+403", playground.problem())
    expect(playground.page.locator("#key-problem")).to_contain_text("The server does not accept this key")
    context.unroute_all()
    playground.enter_key(KEY)
    playground.wait_for_answer()

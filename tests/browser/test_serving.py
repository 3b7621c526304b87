"""How the page reaches the browser: policy, cache, a prefix of a proxy; and models that are loaded on demand."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Response, Route, expect
from running import RunningStack

from tests.browser.pictures import COFFEE, NUCLEI_IMAGE
from tests.browser.playground import Playground
from tests.browser.served import ADMIN_KEY, COLD_NUCLEI, NUCLEI

pytestmark = pytest.mark.integration


def test_browser_blocks_scripts_and_requests_that_are_not_of_the_page(playground: Playground):
    playground.watch.expected += ["blocked by", "requires 'Trusted", "Content Security Policy", "asks another host"]
    tried = playground.page.evaluate(
        """async () => {
            const violated = []
            addEventListener("securitypolicyviolation", event => violated.push(event.effectiveDirective))
            const script = document.createElement("script")
            script.append("window.taken = true")
            document.body.append(script)
            let isRefused = false
            try { document.body.innerHTML = "<img src=x onerror='window.taken = true'>" } catch { isRefused = true }
            const elsewhere = await fetch("http://localhost:1/").then(() => "reached", () => "blocked")
            while (!violated.includes("connect-src")) await new Promise(resolve => setTimeout(resolve, 10))
            return [isRefused, "taken" in window, elsewhere, [...new Set(violated)].sort()]
        }"""
    )
    assert tried == [True, False, "blocked", ["connect-src", "require-trusted-types-for"]]
    assert any("blocked by connect-src" in fault for fault in playground.watch.faults)


def test_no_site_can_show_the_page_in_a_frame(browser: Browser, stack: RunningStack):
    with closing(browser.new_context()) as context:
        page = context.new_page()
        page.goto(f"{stack.url}/healthz")
        page.set_content(f"<iframe src='{stack.url}/'></iframe>")
        page.wait_for_load_state("networkidle")
        assert page.frames[1].locator("#file").count() == 0


def test_files_of_a_second_visit_come_from_the_cache_of_the_browser(playground: Playground):
    answers: list[Response] = []
    playground.page.on("response", lambda response: answers.append(response))
    playground.page.reload()
    expect(playground.page.locator("#model option").first).to_be_attached()
    sent = {
        response.url: response.request.sizes()["responseBodySize"] for response in answers if "/v1/" not in response.url
    }
    assert len(sent) > 10
    assert {url: size for url, size in sent.items() if size} == {}


def test_page_works_below_a_prefix_of_a_proxy(context: BrowserContext, stack: RunningStack):
    origin, prefix = "http://models.invalid", "/vision"

    def forward(route: Route) -> None:
        path = route.request.url.removeprefix(origin)
        if not path.startswith(f"{prefix}/"):
            route.fulfill(status=404, body="another application")
            return
        route.fulfill(response=route.fetch(url=stack.url + path.removeprefix(prefix)))

    context.route(f"{origin}/**", forward)
    playground = Playground(context, origin + prefix)
    playground.open()
    playground.choose(COFFEE)
    playground.wait_for_answer()
    assert playground.found()[0][0] == "espresso"
    assert f"{origin}{prefix}/v1/classify" in playground.shown_code("curl")
    playground.page.get_by_role("button", name="Copy").click()
    expect(playground.page.get_by_role("button", name="Press Ctrl+C")).to_be_visible()  # plain HTTP has no clipboard
    assert playground.page.evaluate("() => getSelection().toString()").startswith("curl")
    playground.take_sample("Coffee")
    playground.page.get_by_role("tab", name="Accuracy").click()
    expect(playground.page.get_by_role("region", name="efficientnet-lite0")).to_be_visible()
    playground.watch.expected.append("Cross-Origin-Opener-Policy header has been ignored")
    assert playground.watch.unexpected() == []


def test_two_models_that_are_not_loaded_yet_answer_side_by_side(
    stack: RunningStack, visit: Callable[[str], Playground]
):
    for name in (NUCLEI, COLD_NUCLEI):
        entry = httpx.get(f"{stack.url}/v1/models/{name}").json()
        url = f"{stack.url}/v1/models/{name}@{entry['version']}/unload"
        httpx.post(url, headers={"x-api-key": ADMIN_KEY}, timeout=60)
    playground = visit(stack.url)
    playground.choose_model(NUCLEI, "Segment")
    expect(playground.page.locator("#model-state")).to_contain_text("Not loaded yet")
    playground.page.get_by_label("Compare with").select_option(COLD_NUCLEI)
    playground.choose(NUCLEI_IMAGE)
    expect(playground.card()).to_contain_text(f"Loading {NUCLEI}")
    for slot, name in enumerate((NUCLEI, COLD_NUCLEI)):
        playground.wait_for_answer(slot)
        expect(playground.card(slot).get_by_role("heading")).to_have_text(name)
    expect(playground.page.locator("#model-state")).to_contain_text("Loaded.")
    assert len(playground.watch.predictions()) == 2

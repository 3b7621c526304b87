"""The page of the gateway: its files, their headers, and how it is turned off."""

from __future__ import annotations

import gzip
import re

import pytest

from models.catalog.lookup import bundled
from models.kinds import KINDS
from services.gateway.playground.static_files import FOLDER, read_static_files
from tests.checkout import DOCS
from tests.unit.gateway_fakes import FakeBackend, gateway

FIRST_LOAD_BYTES = 150 * 1000
"""The most of the page with all its parts, as they are sent; a sample itself is loaded when it is chosen."""


async def test_page_needs_no_key_where_keys_are_set():
    async with gateway(FakeBackend(), api_keys="a") as client:
        page = await client.get("/")
        parts = re.findall(r'(?:src|href)="(playground/[^"]+)"', page.text)
        statuses = [(await client.get(f"/{part}")).status_code for part in parts]
        models = await client.get("/v1/models")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert len(parts) >= 2 and set(statuses) == {200}
    assert models.status_code == 401


async def test_page_is_not_found_where_it_is_turned_off():
    async with gateway(FakeBackend(), playground=False) as client:
        answers = [await client.get(path) for path in ("/", "/playground/main.js")]
    assert [(one.status_code, one.json()["error"]["code"]) for one in answers] == [(404, "not_found")] * 2


async def test_page_that_is_turned_off_asks_for_a_key_as_unknown_paths_do():
    async with gateway(FakeBackend(), api_keys="a", playground=False) as client:
        assert (await client.get("/")).status_code == 401


async def test_page_allows_nothing_inline_and_no_other_origin():
    async with gateway(FakeBackend()) as client:
        page = await client.get("/")
    policy = page.headers["content-security-policy"].split("; ")
    assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert re.findall(r"<style|<script(?![^>]* src=)|\sstyle=|\son\w+=|https?://", page.text) == []


async def test_browser_that_has_a_file_gets_it_once():
    async with gateway(FakeBackend()) as client:
        first = await client.get("/playground/main.js")
        again = await client.get("/playground/main.js", headers={"if-none-match": f'"x", {first.headers["etag"]}'})
        changed = await client.get("/playground/main.js", headers={"if-none-match": '"x"'})
    assert (first.status_code, again.status_code, changed.status_code) == (200, 304, 200)
    assert again.content == b"" and again.headers["etag"] == first.headers["etag"]


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [("gzip, br", "gzip"), ("*", "gzip"), ("br", None), ("gzip;q=0", None), ("", None), ("gzip; q=0.5", "gzip")],
)
async def test_text_is_compressed_for_clients_that_accept_it(accepted: str, encoding: str | None):
    async with gateway(FakeBackend()) as client:
        answer = await client.get("/playground/playground.css", headers={"accept-encoding": accepted})
    assert answer.headers.get("content-encoding") == encoding
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.content == (FOLDER / "playground.css").read_bytes()


async def test_head_has_the_headers_of_get_and_no_body():
    async with gateway(FakeBackend()) as client:
        answer = await client.head("/")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 0


@pytest.mark.parametrize("path", ["/playground/", "/playground/routes.py", "/playground/..%2Froutes.py", "/index.html"])
async def test_only_the_files_of_the_page_are_sent(path: str):
    async with gateway(FakeBackend()) as client:
        answer = await client.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def test_page_cannot_be_posted_to():
    async with gateway(FakeBackend()) as client:
        assert (await client.post("/")).status_code == 405


def test_page_with_all_its_parts_is_small():
    parts = {name: file for name, file in read_static_files().items() if not name.startswith("sample-")}
    assert sum(len(file.compressed or file.body) for file in parts.values()) < FIRST_LOAD_BYTES
    texts = [file for file in parts.values() if file.compressed is not None]
    assert all(gzip.decompress(file.compressed or b"") == file.body for file in texts)


def test_every_file_is_part_of_the_page():
    names = {path.name for path in FOLDER.iterdir()}
    assert names == set(read_static_files())
    reached, left = set[str](), ["index.html"]
    while left:
        name = left.pop()
        if name not in reached:
            reached.add(name)
            left += _named_in((FOLDER / name).read_text(encoding="utf-8")) if name.endswith((".html", ".js")) else []
    pictures = {f"{kind}-{sample}.jpg" for kind in ("sample", "thumbnail") for sample in _sample_models()}
    assert names == {name for name in reached if "." in name} | pictures


def _named_in(text: str) -> list[str]:
    """Files that a page or a module names."""
    return re.findall(r'"playground/([\w.-]+)"', text) + re.findall(r'from "\./([\w.-]+)"', text)


def _sample_models() -> dict[str, list[str]]:
    """The models that suit each sample of the page."""
    entries = re.findall(r'name: "(\w+)",.*?models: \[(.*?)\]', _text_of("samples.js"), re.DOTALL)
    return {name: re.findall(r'"([^"]+)"', models) for name, models in entries}


def _text_of(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def test_models_of_the_samples_are_in_the_catalog():
    samples = _sample_models()
    assert len(samples) == 4 and all(samples.values())
    assert {model for models in samples.values() for model in models} <= set(bundled())


def test_default_of_the_page_is_that_of_the_server():
    written = re.findall(r"const DEFAULTS = \{ topK: (\d+) \};", _text_of("tasks.js"))
    assert [int(number) for number in written] == [KINDS["classification"].defaults["top_k"]]
    assert all("score_threshold" in KINDS[kind].defaults for kind in ("detection", "keypoints", "instance"))


def test_limits_of_drift_are_those_of_the_documents():
    limits = re.findall(r"const DRIFT_LIMITS = \{ some: ([\d.]+), large: ([\d.]+) \};", _text_of("charts.js"))
    table = (DOCS / "accuracy.md").read_text(encoding="utf-8").partition("## Drift")[2]
    told = re.findall(r"\| below ([\d.]+) \| no change \|\n.*\n\| above ([\d.]+) \| a large change \|", table)
    assert limits == told and len(limits) == 1


def test_ids_that_the_documents_list_are_those_of_the_page():
    listed = (DOCS / "playground.md").read_text(encoding="utf-8").partition("Tests and scripts find")[2]
    ids = re.findall(r"#([a-z][\w-]*)", listed)
    page = "".join(path.read_text(encoding="utf-8") for path in FOLDER.iterdir() if path.suffix in (".html", ".js"))
    made = {name.partition("${")[0] for name in re.findall(r"""(?:id: |id=)["'`]([^"'`]+)["'`]""", page)}
    assert len(ids) > 30
    assert [name for name in ids if name not in made and not _is_made(name, made)] == []


def _is_made(name: str, made: set[str]) -> bool:
    """Whether an id such as `show-0-n` is made of a pattern such as `show-${slot}-${index}`."""
    return any(name.startswith(start) and start.endswith("-") for start in made)

"""The code that the page shows: it runs as it is, and gets the answer that the page shows."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, FilePayload
from running import RunningStack

from tests.browser.apart import gateway_apart
from tests.browser.pictures import ASTRONAUT, COFFEE, NUCLEI_IMAGE
from tests.browser.playground import Playground
from tests.browser.served import CLASSIFIER, DETECTOR, DIGITS, NUCLEI, asked
from tests.checkout import ROOT

pytestmark = pytest.mark.integration

HOSTILE_NAMES = (
    'it\'s "quoted" $(touch owned) `touch owned`;touch owned.jpg',
    "<img src=x onerror=alert(1)>.jpg",
    "${alert(1)}\\n{0!r}\\.jpg",
    "κόσμε 🦊 \u202egpj.exe.jpg",
    "-o owned -.jpg",
    "two\nlines.jpg",
)
"""Names of files that a shell, HTML, a template or a terminal could take for something else."""


def ran(command: list[str], folder: Path, **environment: str) -> str:
    """What a program writes that runs in a folder."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def answered(code: Mapping[str, str], folder: Path, **environment: str) -> dict[str, Any]:
    """What each code gets, without what differs from request to request."""
    answers = {
        "curl": json.loads(ran(["bash", "-euc", code["curl"]], folder, **environment)),
        "Python requests": ast.literal_eval(
            ran([sys.executable, "-c", code["Python requests"]], folder, **environment)
        ),
    }
    return {name: comparable(answer) for name, answer in answers.items()}


def comparable(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without its id, and whether it was cached."""
    return {key: value for key, value in answer.items() if key not in ("request_id", "cached")}


def in_folder(folder: Path, name: str, image: Path) -> FilePayload:
    """A file that lies in a folder, too, under its own name."""
    (folder / name).write_bytes(image.read_bytes())
    return {"name": name, "mimeType": "image/jpeg", "buffer": image.read_bytes()}


@pytest.mark.parametrize(
    ("model", "task", "path", "image", "settings", "query"),
    [
        (CLASSIFIER, "Classify", "classify", COFFEE, {}, {}),
        (CLASSIFIER, "Classify", "classify", COFFEE, {"Classes shown": 2}, {"top_k": 2}),
        (DETECTOR, "Detect", "detect", ASTRONAUT, {"Score threshold": 0.1}, {"score_threshold": 0.1}),
        (NUCLEI, "Segment", "segment", NUCLEI_IMAGE, {"Most objects": 7}, {"max_detections": 7}),
    ],
)
def test_shown_code_gets_the_shown_answer(
    stack: RunningStack,
    playground: Playground,
    tmp_path: Path,
    model: str,
    task: str,
    path: str,
    image: Path,
    settings: dict[str, float],
    query: dict[str, Any],
):
    playground.choose_model(model, task)
    playground.choose(in_folder(tmp_path, "photo.jpg", image))
    for label, value in settings.items():
        playground.set_range(label, value)
    playground.wait_for_answer()
    code = {name: playground.shown_code(name) for name in ("curl", "Python requests")}
    expected = comparable(asked(stack.url, path, image.read_bytes(), model=model, **query))
    assert answered(code, tmp_path) == {"curl": expected, "Python requests": expected}
    assert [name for name, _ in playground.found()] == [one["class_name"] for one in expected["predictions"]]


def test_shown_python_client_gets_the_shown_answer(playground: Playground, tmp_path: Path):
    playground.choose_model(DIGITS, "Detect")
    playground.take_sample("Digits")
    playground.wait_for_answer()
    classes = playground.page.get_by_role("group", name="Classes")
    classes.get_by_role("checkbox", name=playground.found()[0][0]).uncheck(force=True)
    sample = ROOT / "services" / "gateway" / "playground" / "static" / "sample-digits.jpg"
    (tmp_path / "digits.jpg").write_bytes(sample.read_bytes())
    printed = ran([sys.executable, "-c", playground.shown_code("Python")], tmp_path)
    found = re.findall(r"class_name='(\w+)', score=([\d.]+)", printed)
    assert [name for name, _ in found] == [name for name, _ in playground.found()]
    assert [float(score) for _, score in found] == pytest.approx([share for _, share in playground.found()], abs=6e-3)


def test_shown_javascript_gets_the_shown_answer(stack: RunningStack, playground: Playground, context: BrowserContext):
    playground.choose(COFFEE)
    playground.wait_for_answer()
    code = playground.shown_code("JavaScript")
    elsewhere = context.new_page()
    elsewhere.goto(f"{stack.url}/healthz")
    elsewhere.set_content("<input type=file>")
    elsewhere.locator("input").set_input_files(COFFEE)
    with elsewhere.expect_console_message() as message:
        elsewhere.evaluate(f"async () => {{ {code} }}")
    answer = message.value.args[0].json_value()
    assert comparable(answer) == comparable(asked(stack.url, "classify", COFFEE.read_bytes(), model=CLASSIFIER))
    elsewhere.close()


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_file_name_is_shown_and_quoted_as_it_is(playground: Playground, tmp_path: Path, name: str):
    file = {"name": name, "mimeType": "image/jpeg", "buffer": COFFEE.read_bytes()}
    playground.choose(file)  # pyright: ignore[reportArgumentType]
    playground.wait_for_answer()
    facts = playground.page.locator("#image-facts").evaluate("element => element.textContent")
    assert facts.startswith(f"{name} · ")
    (tmp_path / name).write_bytes(COFFEE.read_bytes())
    code = {language: playground.shown_code(language) for language in ("curl", "Python", "Python requests")}
    answers = answered(code, tmp_path)
    assert all(answer["predictions"][0]["class_name"] == "espresso" for answer in answers.values())
    assert "espresso" in ran([sys.executable, "-c", code["Python"]], tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]
    assert playground.page.locator("main img[src=x]").count() == 0


def test_code_is_copied(context: BrowserContext, playground: Playground):
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    playground.choose(COFFEE)
    playground.wait_for_answer()
    code = playground.shown_code("curl")
    playground.page.get_by_role("button", name="Copy").click()
    playground.page.get_by_role("button", name="Copied").wait_for()
    assert playground.page.evaluate("() => navigator.clipboard.readText()") == code


def test_code_reads_the_key_from_the_environment(visit: Callable[[str], Playground], tmp_path: Path):
    key = "a-secret-of-this-test"
    with gateway_apart(CLASSIFIER, api_keys=(key,)) as gateway:
        playground = visit(gateway.url)
        playground.watch.expected.append("status of 401")
        playground.enter_key(key)
        playground.choose(in_folder(tmp_path, "photo.jpg", COFFEE))
        playground.wait_for_answer()
        languages = ("curl", "Python", "Python requests", "JavaScript")
        code = {name: playground.shown_code(name) for name in languages}
        assert [name for name in languages if key in code[name]] == []
        answers = answered(code, tmp_path, TAPETUM_API_KEY=key)
        assert all(answer["predictions"][0]["class_name"] == "espresso" for answer in answers.values())
        assert "espresso" in ran([sys.executable, "-c", code["Python"]], tmp_path, TAPETUM_API_KEY=key)

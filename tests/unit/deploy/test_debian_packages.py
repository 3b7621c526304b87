"""Programs that tests need are installed from Debian where that is allowed; elsewhere the reason is one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.debian import install_programs

PROGRAM = "a-program-that-nobody-has"


@pytest.fixture
def apt_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a made-up `apt-get` logs its first arguments; it installs nothing until the lists are updated."""
    calls = tmp_path / "calls"
    script = tmp_path / "apt-get"
    script.write_text(
        f'#!/bin/sh\necho "$1" >> {calls}\n'
        f'[ "$1" = update ] && exit 0\n'
        f'grep -q update {calls} || {{ echo "E: no list" >&2; exit 100; }}\n'
        f"[ -e {tmp_path}/broken ] && {{ echo one >&2; echo two >&2; exit 100; }}\nexit 0\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return calls


def test_programs_that_are_there_are_not_installed(apt_calls: Path):
    assert install_programs({"sh": "dash"}) is None
    assert not apt_calls.exists()


def test_lists_are_updated_where_a_package_is_not_found(apt_calls: Path):
    assert install_programs({PROGRAM: PROGRAM}) is None
    assert apt_calls.read_text().split() == ["install", "update", "install"]


def test_failure_is_one_line_that_names_the_program(apt_calls: Path):
    (apt_calls.parent / "broken").touch()
    assert install_programs({PROGRAM: PROGRAM}) == f"{PROGRAM}: apt-get install failed: two"


def test_nothing_is_installed_for_others_than_root(apt_calls: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    reason = install_programs({PROGRAM: PROGRAM})
    assert reason == f"{PROGRAM}: not installed, and only root on Debian can install them"
    assert not apt_calls.exists()

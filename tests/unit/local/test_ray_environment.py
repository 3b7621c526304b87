"""The token of Ray where the home folder can and cannot keep it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.machine.ray_environment import provide_token


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_home_that_can_be_written_keeps_the_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HOME", str(tmp_path))
    provide_token()
    assert "RAY_AUTH_TOKEN" not in os.environ


def test_home_that_is_not_there_is_not_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HOME", str(tmp_path / "none"))
    provide_token()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
    assert not (tmp_path / "none").exists()


def test_home_that_is_read_only_gets_no_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    if os.getuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    monkeypatch.setenv("HOME", str(tmp_path))
    provide_token()
    assert "RAY_AUTH_TOKEN" in os.environ


def test_token_that_is_given_stays(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "mine")
    provide_token()
    assert os.environ["RAY_AUTH_TOKEN"] == "mine"

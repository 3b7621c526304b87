"""Fixtures of the tests of feedback."""

from __future__ import annotations

import pytest


@pytest.fixture
def no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway does not wait for an answer that another one may be about to store."""
    monkeypatch.setattr("services.gateway.accuracy.answer_log.SECOND_LOOK_S", 0.0)

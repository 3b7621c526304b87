"""An event loop whose clock jumps to the next timer, so that minutes of waiting take no time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

R = TypeVar("R")


class _Jumping(selectors.SelectSelector):
    """Waits for nothing: it tells how long it would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        self.now_s += timeout or 0.0
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs timers in their order, each at its very time."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


def run_virtually(main: Coroutine[Any, Any, R], monkeypatch: pytest.MonkeyPatch, *modules: str) -> R:
    """The result of `main`, run in virtual time.

    Args:
        main: To be run.
        monkeypatch: Ends with the test.
        modules: Where `time.time` is that of the loop, too.
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        for module in modules:
            monkeypatch.setattr(f"{module}.time.time", loop.time)
        return runner.run(main)

"""Signals are checked on the event loop where they are short, and in a thread where they are long."""

import threading
from typing import Any

import pytest

from services.errors import InvalidImage
from services.gateway.serving import inspection
from services.gateway.serving.inspection import Inspector
from services.gateway.serving.offload import INLINE_BYTES, NO_LIMIT
from services.settings import Settings


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize(("length", "in_thread"), [(40, False), (INLINE_BYTES, True)])
async def test_long_signals_are_parsed_in_a_thread(
    monkeypatch: pytest.MonkeyPatch, count: int, length: int, in_thread: bool
) -> None:
    threads: list[threading.Thread] = []
    decode = inspection.decode_signal

    def watched(*args: Any) -> Any:
        threads.append(threading.current_thread())
        return decode(*args)

    monkeypatch.setattr(inspection, "decode_signal", watched)
    inspector = Inspector(Settings())
    signals = (",".join(["1.5"] * length).encode(),) * count
    checked = await inspector.check((*signals, b"no numbers"), NO_LIMIT, length)
    inspector.close()
    assert {thread is threading.main_thread() for thread in threads} == {not in_thread}
    assert len({*checked[:count]}) == 1 and isinstance(checked[0], bytes) and isinstance(checked[-1], InvalidImage)

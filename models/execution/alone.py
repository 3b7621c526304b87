"""Tells networks that the calling thread computes the only image in its process, so that they may use more threads.

Threads that share one image take more CPU time for it than one thread would, and less time. Where other images wait,
each thread better has an image of its own.
"""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

_THREAD: Final = threading.local()


@contextmanager
def computing_alone(is_alone: bool) -> Generator[None]:
    """Within the context, says whether the calling thread computes the only image in its process."""
    _THREAD.is_alone = is_alone
    try:
        yield
    finally:
        _THREAD.is_alone = False


def is_alone() -> bool:
    """Whether the calling thread said so; otherwise False."""
    return getattr(_THREAD, "is_alone", False)

"""Prefetches batches in threads while the network trains."""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Final, TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")

_WAITING_PER_THREAD: Final = 2


def made_ahead(make: Callable[[Item], Made], items: Iterable[Item], threads: int = 1) -> Generator[Made, None, None]:
    """Maps a function over items in threads, a few items ahead of the consumer.

    Args:
        make: Called in the threads.
        items: What to make it of.
        threads: How many.

    Yields:
        What was made, in the order of the items.

    Raises:
        Exception: Whatever `make` raises, in the place of what it should have made.
    """
    remaining = iter(items)
    with ThreadPoolExecutor(threads, "tapetum-prefetch") as pool:
        waiting: list[Future[Made]] = []
        try:
            waiting += [pool.submit(make, item) for item in islice(remaining, threads * _WAITING_PER_THREAD)]
            while waiting:
                made = waiting.pop(0).result()
                waiting += [pool.submit(make, item) for item in islice(remaining, 1)]
                yield made
        finally:
            for future in waiting:
                future.cancel()

"""A gateway in a thread of its own: playwright's event loop runs in that of the tests, where `asyncio.run` cannot."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from services.settings import Settings
from tests.unit.hosted_gateway import HostedGateway, hosted_gateway


@contextmanager
def gateway_apart(*models: str, **settings: Any) -> Iterator[HostedGateway]:
    """A gateway with classifiers in this process, without Ray.

    Args:
        models: Names of the classifiers.
        settings: Of the gateway.
    """
    deployment = {"name": "Classifier", "task": "classification", "models": list(models)}
    gateway = hosted_gateway([deployment], Settings(**settings))
    with ThreadPoolExecutor(1) as apart:
        try:
            yield apart.submit(gateway.__enter__).result()
        finally:
            apart.submit(gateway.__exit__, None, None, None).result()

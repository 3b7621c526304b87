"""Fixtures of all tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.local.embedded_cache import EmbeddedCache


@pytest.fixture(scope="session", autouse=True)
def no_models_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests do not read the models that whoever runs them has added."""
    os.environ["XDG_DATA_HOME"] = str(tmp_path_factory.mktemp("share"))


@pytest.fixture
def cache_server(tmp_path: Path) -> Iterator[EmbeddedCache]:
    """An empty cache server of 8 MiB, which runs."""
    made = EmbeddedCache(tmp_path, 8 * 2**20)
    made.start()
    yield made
    made.stop()

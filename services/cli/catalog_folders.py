"""Chooses the folders in which this process looks for models of the user's own."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def reading_models_of(*folders: Path) -> Generator[None]:
    """Looks for models of the user's own in some folders only, in this process and those that it starts.

    Args:
        folders: They must exist.
    """
    from models.catalog.lookup import CATALOG_VARIABLE

    known = os.environ.get(CATALOG_VARIABLE)
    os.environ[CATALOG_VARIABLE] = os.pathsep.join(map(str, folders))
    try:
        yield
    finally:
        if known is None:
            del os.environ[CATALOG_VARIABLE]
        else:
            os.environ[CATALOG_VARIABLE] = known

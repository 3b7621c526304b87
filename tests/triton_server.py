"""A real Triton server for tests; tests that need one are skipped by name where there can be none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from loadtests.environments import NoEnvironment
from loadtests.triton_server import TritonServer


def triton_server(repository: Path, log: Path, options: Sequence[str] = ()) -> TritonServer:
    """A Triton server of a model repository, to be started: `with triton_server(…) as server`.

    Its environment is made where it is missing, which `make peers` does beforehand.

    Args:
        repository: The model repository.
        log: File that takes its log.
        options: Further options of `tritonserver`.
    """
    try:
        return TritonServer(repository, log, options)
    except NoEnvironment as error:
        pytest.skip(f"needs a Triton server: {error}")

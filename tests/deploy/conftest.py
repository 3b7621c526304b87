"""The cluster that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.deploy.cluster import Cluster, running_cluster
from tests.deploy.cluster_network import why_not


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A Ray cluster of a head and two workers; skips where there can be none."""
    if reason := why_not():
        pytest.skip(reason)
    with running_cluster() as made:
        yield made

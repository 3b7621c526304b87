"""Which cluster `auto` is: the one whose files are in the folder, and not another one of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.local.local_ray import record_address

services = pytest.importorskip("ray._private.services")


def test_auto_is_the_cluster_of_the_folder_beside_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    others = {f"127.0.0.1:{port}" for port in range(20001, 20009)}
    monkeypatch.setattr(services, "find_gcs_addresses", lambda: {*others, "127.0.0.1:6379"})
    record_address("127.0.0.1:6379", tmp_path)
    assert services.canonicalize_bootstrap_address_or_die("auto", str(tmp_path)).endswith(":6379")

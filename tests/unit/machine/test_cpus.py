"""CPUs that a process may use, by its control groups as the kernel shows them."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from services.machine import cpus


def lay(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_quota_of_a_container_that_sees_its_own_group_as_the_root(tmp_path: Path):
    process, mounts = tmp_path / "cgroup", tmp_path / "fs"
    process.write_text("0::/\n")
    lay(mounts, cpu__max="150000 100000\n")
    assert cpus.limit_of_cgroups(process, mounts) == 1.5


def test_least_quota_on_the_way_to_the_root_counts(tmp_path: Path):
    process, mounts = tmp_path / "cgroup", tmp_path / "fs"
    process.write_text("0::/kubepods/pod1/container\n")
    lay(mounts / "kubepods/pod1/container", cpu__max="max 100000\n")
    lay(mounts / "kubepods/pod1", cpu__max="400000 100000\n")
    lay(mounts / "kubepods", cpu__max="800000 100000\n")
    assert cpus.limit_of_cgroups(process, mounts) == 4.0


@pytest.mark.parametrize(("quota", "limit"), [("250000\n", 2.5), ("-1\n", math.inf)])
def test_quota_of_version_1(tmp_path: Path, quota: str, limit: float):
    process, mounts = tmp_path / "cgroup", tmp_path / "fs"
    process.write_text("5:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc\n0::/\n")
    lay(mounts / "cpu,cpuacct/docker/abc", cpu__cfs_quota_us=quota, cpu__cfs_period_us="100000\n")
    assert cpus.limit_of_cgroups(process, mounts) == limit


@pytest.mark.parametrize("text", ["", "0::/../other\n", "0::/none\n"])
def test_no_limit_where_none_can_be_read(tmp_path: Path, text: str):
    process = tmp_path / "cgroup"
    process.write_text(text)
    assert cpus.limit_of_cgroups(process, tmp_path / "fs") == math.inf
    assert cpus.limit_of_cgroups(tmp_path / "none", tmp_path / "fs") == math.inf


@pytest.mark.parametrize(("limit", "count"), [(0.2, 1), (1.0, 1), (1.5, 2), (math.inf, 8)])
def test_part_of_a_cpu_counts_as_a_whole_one(monkeypatch: pytest.MonkeyPatch, limit: float, count: int):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(cpus, "limit_of_cgroups", lambda: limit)
    assert cpus.count_cpus() == count

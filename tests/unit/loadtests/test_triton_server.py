"""The harness of a real Triton server."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import psutil
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput

from loadtests.environments import LITSERVE, MOSEC, TRITON, Environment, NoEnvironment
from loadtests.processes import SystemFailed
from tests.triton_server import triton_server

pytestmark = pytest.mark.slow

CONFIG = """
backend: "python"
max_batch_size: 8
input [{ name: "x" data_type: TYPE_FP32 dims: [ -1 ] }]
output [{ name: "y" data_type: TYPE_FP32 dims: [ -1 ] }]
instance_group [{ kind: KIND_CPU count: 1 }]
"""
DOUBLE = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        inputs = [pb_utils.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", 2 * value)]) for value in inputs]
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository" / "double"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(CONFIG)
    (folder / "1" / "model.py").write_text(DOUBLE)
    return folder.parent


def doubled(url: str, value: float) -> float:
    tensor = InferInput("x", [1, 1], "FP32")
    tensor.set_data_from_numpy(np.array([[value]], np.float32))
    with InferenceServerClient(url) as client:
        answer = client.infer("double", [tensor])
    assert answer is not None
    output = answer.as_numpy("y")
    assert output is not None
    return float(output[0, 0])


def runs(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_killed_server_is_back_on_its_ports_and_leaves_nothing_behind(repository: Path, tmp_path: Path):
    shared_before = set(Path("/dev/shm").iterdir())
    with triton_server(repository, tmp_path / "log") as server:
        assert doubled(server.url, 1.5) == 3.0
        processes = [psutil.Process(pid) for pid in server.cpu_s()]
        assert len(processes) == 2, "the server, and the process of its model"
        server.kill()
        assert not any(map(runs, processes))
        server.start()
        assert doubled(server.url, 2.5) == 5.0
        processes = [psutil.Process(pid) for pid in server.cpu_s()]
    assert not any(map(runs, processes))
    assert not {path for path in set(Path("/dev/shm").iterdir()) - shared_before if "tapetum_triton" in path.name}


def test_server_whose_model_cannot_be_loaded_fails_with_its_log(repository: Path, tmp_path: Path):
    (repository / "double" / "1" / "model.py").write_text("raise ImportError('no such thing')")
    with pytest.raises(SystemFailed, match="no such thing"), triton_server(repository, tmp_path / "log"):
        pass


def test_environment_is_refused_by_name_on_another_machine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(NoEnvironment, match="triton needs Linux on x86_64"):
        TRITON.python(print)


def test_environments_are_ignored_by_git_and_their_requirements_are_there():
    for environment in (LITSERVE, MOSEC, TRITON):
        assert environment.folder.name.startswith(".venv-")
        assert environment.requirements.is_file()


def test_environment_whose_packages_do_not_exist_fails_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("loadtests.environments.ROOT", tmp_path)
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("numpy==0.0.0.0\n")
    monkeypatch.setattr(Environment, "requirements", requirements)
    with pytest.raises(NoEnvironment, match="pip install"):
        Environment("broken", ("--offline",)).python(print)

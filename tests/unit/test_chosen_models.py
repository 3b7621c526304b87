"""The configuration of `tapetum serve --model`."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.chosen_models import describe, save, with_models
from services.configuration import TopologyError
from services.local.stack import DEFAULT_CONFIG, GPU_CONFIG
from services.machine.gpus import count_gpus
from services.serve_file import read_serve_file


def test_named_models_get_a_deployment_for_each_task_set_up_as_the_file_has_it():
    config = with_models(read_serve_file(DEFAULT_CONFIG), ["unet-nuclei", "yolox/s", "yolo-digits", "yolox/s"])
    topology = config.topology
    assert [describe(each) for each in topology.deployments] == [
        "Segmenter: unet-nuclei on cpu, batches of up to 4",
        "Detector: yolox/s, yolo-digits on cpu, batches of up to 4",
    ]
    assert topology.deployments[0].max_batch_pixels == 1048576
    assert not any(topology.is_on_demand(name) for name in ("unet-nuclei", "yolox/s", "yolo-digits"))


def test_on_a_gpu_batches_are_larger():
    config = with_models(read_serve_file(GPU_CONFIG), ["efficientnet-lite0"])
    assert [describe(each) for each in config.topology.deployments] == [
        "Classifier: efficientnet-lite0 on cuda, batches of up to 32"
    ]


def test_saved_configuration_is_read_again(tmp_path: Path):
    config = with_models(read_serve_file(DEFAULT_CONFIG), ["noop"])
    save(config, tmp_path / "made.yaml")
    assert read_serve_file(tmp_path / "made.yaml").topology == config.topology


def test_unknown_model_is_refused_by_name():
    with pytest.raises(TopologyError, match="--model yolo-nothing: "):
        with_models(read_serve_file(DEFAULT_CONFIG), ["noop", "yolo-nothing"])


@pytest.mark.parametrize(("visible", "count"), [(None, 2), ("", 0), ("0", 1), ("MIG-a,MIG-b,MIG-c", 2)])
def test_gpus_are_those_of_the_driver_that_cuda_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str | None, count: int
):
    for address in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / address).mkdir()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert count_gpus(tmp_path) == count
    assert count_gpus(tmp_path / "none") == 0

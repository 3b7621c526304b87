import json

import pytest
import torch

from loadtests import gpu, gpu_sections
from loadtests.device_pictures import made_picture
from loadtests.gpu_sections import in_turns


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a GPU")
def test_without_a_gpu_the_exit_status_is_2(capsys):
    assert gpu.main([]) == 2
    assert "sees no GPU" in capsys.readouterr().err


def test_on_a_cpu_every_section_runs_and_its_rows_are_written(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_sections, "CLASSIFIER", "noop")
    monkeypatch.setattr(gpu_sections, "SIZES", ((48, 64),))
    monkeypatch.setattr(gpu.cuda_graphs, "MOST_PIXELS", 1)
    path = tmp_path / "gpu.json"
    (tmp_path / "one.jpg").write_bytes(made_picture((48, 64), seed=1))
    arguments = ("--device", "cpu", "--model", "yolo-digits", "--batch-sizes", "1", "--seconds", "0.001")
    assert gpu.main([*arguments, "--images", str(tmp_path), "--json", str(path)]) == 0
    report = json.loads(path.read_text())
    assert [len(report[section]) for section in gpu.SECTIONS] == [5, 1, 0, 3, 2]
    assert report["models"][0]["same"] == 1.0
    assert report["machine"]["torch"] == torch.__version__


def test_no_measurement_begins_after_the_limit(tmp_path):
    path = tmp_path / "gpu.json"
    assert gpu.main(["--device", "cpu", "--sections", "staging", "--limit-s", "-1", "--json", str(path)]) == 0
    assert json.loads(path.read_text())["staging"] == []


def test_ways_are_measured_in_turns_and_their_first_run_is_left_out():
    calls: list[str] = []
    took_ms = in_turns({"one": lambda: calls.append("one"), "other": lambda: calls.append("other")}, 0.0)
    assert calls == ["one", "other"] * 4
    assert all(took == pytest.approx(0.0, abs=10) for took in took_ms.values())

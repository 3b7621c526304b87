"""Files are recognised by what is in them, not by how they are called."""

import pytest
import torch
from safetensors.torch import save_file

from models.errors import UnusableModel
from models.importing.file_format import format_of


def test_checkpoints_of_torch_and_safetensors_are_recognised(tmp_path):
    state = {"weight": torch.ones(2, 2)}
    torch.save(state, tmp_path / "new.bin")
    torch.save(state, tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    save_file(state, tmp_path / "safe.bin")
    assert [format_of(tmp_path / name) for name in ("new.bin", "old.bin", "safe.bin")] == ["checkpoint"] * 3


def test_onnx_is_recognised_whatever_its_name(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"\x08\x0a\x12\x07pytorch")
    assert format_of(tmp_path / "model.pt") == "onnx"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"import torch\n", "neither an ONNX file nor a checkpoint"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<!DOCTYPE html>", "the download went wrong"),
        (b"\x89HDF\r\n", "export the model to ONNX"),
        (b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
    ],
)
def test_other_files_are_refused_with_one_line_that_says_what_to_do(tmp_path, content, problem):
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    with pytest.raises(UnusableModel, match=problem):
        format_of(path)


def test_folder_and_missing_file_are_refused(tmp_path):
    with pytest.raises(UnusableModel, match="is a folder"):
        format_of(tmp_path)
    with pytest.raises(UnusableModel, match="no such file"):
        format_of(tmp_path / "gone.onnx")

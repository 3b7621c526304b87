"""Looking into ONNX files: what is no usable model is refused by one clear line, before anything is run."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import external_data_helper, numpy_helper

from models.errors import UnusableModel
from models.importing import onnx_weights
from models.importing.onnx_file import inspect_onnx
from models.importing.onnx_weights import self_contained
from tests.unit.importing.onnx_graphs import FLOAT, INT64, UINT8, helper, model_of, value, write

CLASSES = {"out": ("N", 10)}


def refused(path: Path) -> str:
    with pytest.raises(UnusableModel) as caught:
        inspect_onnx(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text.removeprefix(f"{path}: ")


def test_missing_file(tmp_path: Path):
    assert refused(tmp_path / "none.onnx") == "there is no such file"
    assert refused(tmp_path) == "is a folder; name the file in it"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04 and more", "is no ONNX file: it is a zip archive, as PyTorch's checkpoints are"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12", "is no ONNX file: it is a pointer of Git LFS"),
        (b"# Model\n\nDownload it from elsewhere.\n", "is no ONNX file"),
        (b"\x00" * 100, "is no ONNX file"),
        (np.random.default_rng(0).bytes(10_000), "is no ONNX file"),
    ],
)
def test_files_of_another_format(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "best.onnx"
    path.write_bytes(content)
    assert message in refused(path)


def test_zip_with_a_model_in_it(tmp_path: Path):
    path = tmp_path / "model.onnx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("best.onnx", model_of(CLASSES).SerializeToString())
    assert "is a zip archive" in refused(path)


def test_truncated_file(tmp_path: Path):
    path = write(tmp_path, CLASSES)
    path.write_bytes(path.read_bytes()[:-20])
    assert "is no ONNX file, or is truncated" in refused(path)


def test_name_of_the_file_does_not_matter(tmp_path: Path):
    path = write(tmp_path, CLASSES, "model.json")
    assert inspect_onnx(path).class_count == 10


def test_missing_package_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("models.importing.onnx_reading.find_spec", lambda name: None)
    assert "pip install 'tapetum[export]'" in refused(write(tmp_path, CLASSES))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image": ("N", "sequence")}, "has no input for images"),
        ({"image": ("N", 1, 28, 28)}, "has no input for images"),
        ({"image": ("N", 3, 32, 32), "image_type": INT64}, "its inputs: images int64 (?, 3, 32, 32)"),
        ({"image": (3, 224, 224)}, "export with a batch of one image, (1, 3, H, W)"),
        ({"inputs": [value("other", ("N", 3, 64, 64))]}, "has 2 inputs for images, and one is supported"),
        ({"inputs": [value("pixel_mask", ("N", 64, 64), INT64)]}, "needs the inputs 'pixel_mask' besides images"),
        (
            {"image": ("N", 3, 480, 640)},
            "takes images of 480 x 640 pixels (height x width); export it with a square or dynamic size",
        ),
    ],
)
def test_inputs_that_are_not_supported(tmp_path: Path, options: dict[str, Any], message: str):
    assert message in refused(write(tmp_path, CLASSES, **options))


@pytest.mark.parametrize(
    ("image", "dtype", "size", "line"),
    [
        (("N", 3, 224, 224), FLOAT, (224, 224), "input images: (N, 3, H, W) float32, 224 x 224 pixels, batches of any"),
        ((4, 3, 224, 224), FLOAT, (224, 224), "batches of 4"),
        (("N", 224, 224, 3), UINT8, (224, 224), "input images: (N, H, W, 3) uint8, 224 x 224 pixels"),
        (("N", 3, "h", "w"), onnx.TensorProto.FLOAT16, None, "(N, 3, H, W) float16, any size"),
        (("batch_size", "num_channels", "height", "width"), FLOAT, None, "(N, 3, H, W) float32, any size"),
        (("N", "h", "w", 3), FLOAT, None, "(N, H, W, 3) float32, any size"),
    ],
)
def test_inputs_that_are_supported(tmp_path: Path, image: Any, dtype: int, size: Any, line: str):
    found = inspect_onnx(write(tmp_path, CLASSES, image=image, image_type=dtype))
    assert found.input_size == size
    assert found.evidence[0].startswith(line) or line in found.evidence[0]


def test_weights_that_are_also_inputs_are_no_inputs(tmp_path: Path):
    weights = numpy_helper.from_array(np.zeros((8, 3, 3, 3), np.float32), "weights")
    path = write(tmp_path, CLASSES, inputs=[value("weights", (8, 3, 3, 3))], constants=[weights])
    assert inspect_onnx(path).class_count == 10


def test_operators_of_other_runtimes_are_named(tmp_path: Path):
    node = helper.make_node("EfficientNMS_TRT", ["images"], ["unused"])
    text = refused(write(tmp_path, CLASSES, first=[node]))
    assert text == "needs EfficientNMS_TRT, which is no operator of ONNX; only TensorRT has it: export without NMS"
    node = helper.make_node("DeformConv", ["images"], ["unused"], domain="mmdeploy")
    assert "needs mmdeploy.DeformConv, which is no operator of ONNX" in refused(write(tmp_path, CLASSES, first=[node]))


def write_external(folder: Path) -> Path:
    """A network that multiplies its input by 2 and averages it, with its weights in a file beside it."""
    weights = numpy_helper.from_array(np.full((1, 3, 32, 32), 2, np.float32), "weights")
    nodes = [
        helper.make_node("Mul", ["images", "weights"], ["x"]),
        helper.make_node("GlobalAveragePool", ["x"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [value("images", ("N", 3, 32, 32))], [value("out", ("N", 3, 1, 1))], initializer=[weights]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    path = folder / "model.onnx"
    external_data_helper.convert_model_to_external_data(model, location="model.onnx.data", size_threshold=0)
    onnx.save(model, path)
    return path


def test_file_with_external_data_becomes_one_file(tmp_path: Path):
    path = write_external(tmp_path)
    assert inspect_onnx(path).class_count == 3
    assert "weights in model.onnx.data" in inspect_onnx(path).evidence
    session = onnxruntime.InferenceSession(self_contained(path), providers=["CPUExecutionProvider"])
    (means,) = session.run(None, {"images": np.ones((1, 3, 32, 32), np.float32)})
    np.testing.assert_array_equal(np.asarray(means), np.full((1, 3, 1, 1), 2, np.float32))


def test_file_without_external_data_stays_as_it_is(tmp_path: Path):
    path = write(tmp_path, CLASSES)
    assert self_contained(path) == path.read_bytes()


def test_missing_external_data_is_named(tmp_path: Path):
    path = write_external(tmp_path)
    (tmp_path / "model.onnx.data").unlink()
    assert refused(path) == "keeps weights in 'model.onnx.data', which is not beside it; copy both files"
    with pytest.raises(UnusableModel, match=r"model\.onnx\.data"):
        self_contained(path)


def test_truncated_external_data_is_named(tmp_path: Path):
    path = write_external(tmp_path)
    (tmp_path / "model.onnx.data").write_bytes(b"short")
    assert "'model.onnx.data', which is truncated" in refused(path)


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", ""])
def test_external_data_elsewhere_is_not_read(tmp_path: Path, location: str):
    path = write_external(tmp_path)
    model = onnx.load(path, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = location
    path.write_bytes(model.SerializeToString())
    assert "they must be in a file beside it" in refused(path)


def test_link_to_another_folder_is_not_read(tmp_path: Path):
    (tmp_path / "inner").mkdir()
    path = write_external(tmp_path / "inner")
    data = path.with_name("model.onnx.data").rename(tmp_path / "secret")
    path.with_name("model.onnx.data").symlink_to(data)
    assert "is a link to another folder" in refused(path)


def test_weights_too_large_for_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write_external(tmp_path)
    monkeypatch.setattr(onnx_weights, "MOST_BYTES", 1000)
    with pytest.raises(UnusableModel, match="one ONNX file holds less than 2 GiB; export it in fp16"):
        self_contained(path)


def test_files_of_hugging_face_beside_the_model(tmp_path: Path):
    (tmp_path / "config.json").write_text(
        json.dumps({"architectures": ["ViTForImageClassification"], "id2label": {"0": "cat", "1": "dog"}})
    )
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps(
            {
                "do_normalize": True,
                "do_rescale": True,
                "rescale_factor": 1 / 255,
                "image_mean": [0.5, 0.5, 0.5],
                "image_std": [0.5, 0.5, 0.5],
                "size": {"height": 224, "width": 224},
            }
        )
    )
    (tmp_path / "onnx").mkdir()
    for folder in (tmp_path, tmp_path / "onnx"):
        found = inspect_onnx(write(folder, {"logits": ("N", 2)}, image=("N", "c", "h", "w")))
        assert (found.class_names, found.kinds) == (("cat", "dog"), ("classification",))
        assert found.normalisation is not None
        np.testing.assert_allclose(found.normalisation, np.full((2, 3), 127.5))
        assert (found.input_size, found.usual_size, found.keep_aspect) == (None, (224, 224), False)


def test_configuration_of_timm_beside_the_model(tmp_path: Path):
    document = {
        "architecture": "resnet18",
        "label_names": ["cat", "dog"],
        "pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
    }
    (tmp_path / "config.json").write_text(json.dumps(document))
    found = inspect_onnx(write(tmp_path, {"logits": ("N", 2)}))
    assert found.class_names == ("cat", "dog")
    assert found.normalisation == ((127.5,) * 3, (63.75,) * 3)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"vocab_size": 3}',
        '{"architectures": {"a": 1}, "id2label": 7}',
        '{"architectures": [], "pretrained_cfg": []}',
        '{"image_mean": "x", "image_std": [0, 0, 0], "rescale_factor": "x", "size": {"height": "x", "width": null}}',
        '{"image_mean": [1, 2, 3], "image_std": [0, 0, 0], "rescale_factor": 0}',
    ],
)
def test_other_files_beside_the_model_are_ignored(tmp_path: Path, text: str):
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_text(text)
    assert inspect_onnx(write(tmp_path, CLASSES)).class_names is None

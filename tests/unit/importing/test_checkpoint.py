"""A checkpoint's architecture, prefix, classes and preprocessing are found, or one line says what is wrong."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision.models
from safetensors.torch import save_file
from torch import nn

from models.catalog.architectures import build_architecture
from models.catalog.lookup import find
from models.classification.efficientnet_lite import from_published
from models.detection.yolox_family import from_official
from models.errors import UnusableModel
from models.importing.checkpoint import inspect_checkpoint, read_checkpoint
from models.sources.card_weights import load_weights
from models.sources.weights_files import load_strictly, locate

pytestmark = pytest.mark.usefixtures("one_thread")

RESNET = "torchvision/resnet18"


def state_of(architecture: str, class_count: int, **arguments: Any) -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    return build_architecture(architecture, class_count, arguments).state_dict()


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


@pytest.fixture(scope="module")
def resnet() -> dict[str, torch.Tensor]:
    return state_of(RESNET, 7)


def check(path: Path, architecture: str, class_count: int) -> dict[str, torch.Tensor]:
    """The number of classes is found, and the network that a card builds takes the state dict."""
    found = inspect_checkpoint(path, architecture)
    assert (found.architecture, found.class_count, found.format) == (architecture, class_count, "checkpoint")
    state = read_checkpoint(path, found)
    load_strictly(build_architecture(architecture, class_count, found.arguments), state)
    return state


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.", "net.", "module._orig_mod.", "backbone."])
@pytest.mark.parametrize("place", [None, "state_dict", "model", "model_state_dict", "ema", "state_dict_ema"])
def test_prefixes_and_items_around_a_state_dict_are_understood(tmp_path, resnet, prefix, place):
    state = {f"{prefix}{key}": value for key, value in resnet.items()}
    path = saved(tmp_path / "model.pth", {place: state, "epoch": 3} if place else state)
    read = check(path, RESNET, 7)
    assert all(torch.equal(read[key], value) for key, value in resnet.items())
    assert any(f"{prefix!r} was removed" in line for line in inspect_checkpoint(path, RESNET).evidence) == bool(prefix)


def test_weights_are_taken_before_their_average_which_is_told(tmp_path, resnet):
    average = {key: torch.zeros_like(value) for key, value in resnet.items()}
    path = saved(tmp_path / "last.pth.tar", {"state_dict_ema": average, "state_dict": resnet, "arch": "resnet18"})
    found = inspect_checkpoint(path)
    assert read_checkpoint(path, found)["fc.weight"].abs().sum() > 0
    assert any("'state_dict_ema'" in line for line in found.evidence)


def test_safetensors_file_is_read(tmp_path, resnet):
    save_file(resnet, tmp_path / "model.safetensors")
    assert check(tmp_path / "model.safetensors", RESNET, 7).keys() == resnet.keys()


def test_architecture_is_found_by_its_tensors_where_only_one_fits(tmp_path, resnet):
    found = inspect_checkpoint(saved(tmp_path / "model.pth", {"model": {f"model.{k}": v for k, v in resnet.items()}}))
    assert (found.architecture, found.kinds, found.class_count) == (RESNET, ("classification",), 7)
    assert found.preprocessing == find(RESNET).preprocessing
    assert found.normalisation == ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
    assert found.input_size == (224, 224)


def test_two_architectures_of_the_same_tensors_are_both_named(tmp_path):
    twin = "torchvision/fasterrcnn_mobilenet_v3_large_fpn"
    found = inspect_checkpoint(saved(tmp_path / "model.pth", state_of(twin, 2)))
    assert found.architecture is None and found.kinds == ()
    assert found.evidence[-1] == (
        "its tensors fit torchvision/fasterrcnn_mobilenet_v3_large_320_fpn and "
        "torchvision/fasterrcnn_mobilenet_v3_large_fpn: name its architecture by --architecture"
    )


def test_unknown_network_is_answered_with_the_nearest_ones(tmp_path, resnet):
    changed = {key: value for key, value in resnet.items() if not key.startswith("layer4.1.")}
    found = inspect_checkpoint(saved(tmp_path / "model.pth", changed))
    assert found.architecture is None
    assert "--architecture, such as torchvision/resnet18" in found.evidence[-1]


@pytest.mark.parametrize(
    ("architecture", "class_count"),
    [
        *(
            (f"torchvision/{name}", 5)
            for name in ("alexnet", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "mnasnet0_5")
        ),
        *((f"torchvision/{name}", 5) for name in ("mobilenet_v2", "regnet_y_400mf", "squeezenet1_1", "swin_t")),
        *((f"torchvision/{name}", 1) for name in ("shufflenet_v2_x0_5", "convnext_tiny", "vit_b_32", "vgg11_bn")),
        ("torchvision/fasterrcnn_mobilenet_v3_large_320_fpn", 2),
        ("torchvision/fcos_resnet50_fpn", 3),
        ("torchvision/maskrcnn_resnet50_fpn_v2", 1),
        ("torchvision/retinanet_resnet50_fpn", 4),
        ("torchvision/ssd300_vgg16", 2),
        ("torchvision/ssdlite320_mobilenet_v3_large", 2),
        ("torchvision/deeplabv3_mobilenet_v3_large", 4),
        ("torchvision/lraspp_mobilenet_v3_large", 2),
        ("efficientnet-lite0", 3),
        ("faster-rcnn-efficientnet-lite0", 3),
        ("mask-rcnn-efficientnet-lite0", 1),
        ("unet", 2),
        ("unet-efficientnet-lite0", 4),
        ("yolov1", 6),
        ("yolox-efficientnet-lite0", 2),
        ("yolox-nano", 3),
        ("timm/mobilenetv3_small_050", 9),
        ("timm/deit_tiny_distilled_patch16_224", 3),
        ("timm/regnetx_002", 4),
    ],
)
def test_number_of_classes_is_read_off_the_head_of_any_architecture(tmp_path, architecture, class_count):
    check(saved(tmp_path / "model.pth", state_of(architecture, class_count)), architecture, class_count)


@pytest.mark.parametrize("builder", ["googlenet", "inception_v3"])
def test_auxiliary_heads_are_dropped(tmp_path, builder):
    network = torchvision.models.get_model(builder, weights=None, num_classes=4, aux_logits=True, init_weights=False)
    path = saved(tmp_path / "model.pth", network.state_dict())
    state = check(path, f"torchvision/{builder}", 4)
    assert not any("aux" in key.lower() for key in state)
    assert any("left out" in line for line in inspect_checkpoint(path, f"torchvision/{builder}").evidence)


def test_segmenter_with_an_auxiliary_head_and_detector_with_frozen_norms_are_read(tmp_path):
    fcn = torchvision.models.get_model(
        "deeplabv3_mobilenet_v3_large", weights=None, weights_backbone=None, num_classes=3, aux_loss=True
    )
    check(saved(tmp_path / "fcn.pth", fcn.state_dict()), "torchvision/deeplabv3_mobilenet_v3_large", 3)
    name = "torchvision/fasterrcnn_resnet50_fpn"
    frozen = {k: v for k, v in state_of(name, 2).items() if "num_batches_tracked" not in k}
    path = saved(tmp_path / "frozen.pth", frozen)
    check(path, name, 2)
    assert inspect_checkpoint(path, name).arguments == {"norm_eps": 0.0}


def test_vision_transformer_of_another_size_is_recognised(tmp_path):
    path = saved(tmp_path / "model.pth", state_of("torchvision/vit_b_32", 3, image_size=384))
    check(path, "torchvision/vit_b_32", 3)
    found = inspect_checkpoint(path, "torchvision/vit_b_32")
    assert found.arguments == {"image_size": 384} and found.input_size == (384, 384)


def test_yolox_of_torch_is_turned_from_bgr_and_one_of_safetensors_is_not(tmp_path):
    state = state_of("yolox-nano", 3)
    official = {"start_epoch": 3, "model": state, "optimizer": {}}
    read = check(saved(tmp_path / "best_ckpt.pth", official), "yolox-nano", 3)
    stem = "backbone.backbone.stem.conv.conv.weight"
    assert torch.equal(read[stem], from_official(state)[stem]) and not torch.equal(read[stem], state[stem])
    found = inspect_checkpoint(tmp_path / "best_ckpt.pth", "yolox-nano")
    assert found.channels == "rgb" and any("BGR" in line for line in found.evidence)
    unturned = read_checkpoint(tmp_path / "best_ckpt.pth", found, channels="rgb")
    assert torch.equal(unturned[stem], state[stem])
    save_file(state, tmp_path / "own.safetensors")
    assert torch.equal(check(tmp_path / "own.safetensors", "yolox-nano", 3)[stem], state[stem])


def test_bundled_weights_are_recognised():
    weights = Path(str(find("unet-person").card)).with_suffix(".safetensors")
    found = inspect_checkpoint(weights)
    assert (found.architecture, found.kinds, found.class_count) == ("unet-efficientnet-lite0", ("semantic",), 2)
    assert found.preprocessing == find("unet-person").preprocessing
    assert read_checkpoint(weights, found).keys() == load_weights(weights).keys()


def test_class_names_in_the_file_are_taken_and_a_head_of_1000_is_imagenet(tmp_path, resnet):
    names = tuple("abcdefg")
    by_id = {"state_dict": resnet, "class_to_idx": {name: index for index, name in enumerate(names)}}
    for content in ({"state_dict": resnet, "class_names": list(names)}, by_id):
        assert inspect_checkpoint(saved(tmp_path / "model.pth", content), RESNET).class_names == names
    assert inspect_checkpoint(saved(tmp_path / "model.pth", resnet), RESNET).class_names is None
    imagenet = inspect_checkpoint(saved(tmp_path / "model.pth", state_of(RESNET, 1000)), RESNET).class_names
    assert imagenet is not None and imagenet[:2] == ("tench", "goldfish")


def test_settings_beside_the_weights_are_no_obstacle(tmp_path, resnet):
    settings = argparse.Namespace(lr=0.1, output=tmp_path)
    content = {"state_dict": resnet, "args": settings, "metric": torch.tensor(3).numpy()[()], "criterion": {}}
    check(saved(tmp_path / "model.pth", content), RESNET, 7)


def test_other_tensors_of_a_wrapper_are_left_out(tmp_path, resnet):
    wrapped = {**{f"model.{key}": value for key, value in resnet.items()}, "loss.weight": torch.ones(7)}
    path = saved(tmp_path / "model.ckpt", {"state_dict": wrapped})
    assert check(path, RESNET, 7).keys() == resnet.keys()
    assert "left out, as the network has no such tensors: loss.weight" in inspect_checkpoint(path, RESNET).evidence


def test_published_efficientnet_lite0_is_recognised_and_converted():
    path = locate(find("efficientnet-lite0"))
    found = inspect_checkpoint(path, "efficientnet-lite0")
    assert (found.class_count, found.preprocessing) == (1000, find("efficientnet-lite0").preprocessing)
    assert found.class_names is not None and found.class_names[0] == "tench"
    published = torch.load(path, weights_only=True)
    expected = build_architecture("efficientnet-lite0", 1000, {})
    expected.load_state_dict(from_published(published))
    read = read_checkpoint(path, found)
    assert all(torch.equal(read[key], value) for key, value in expected.state_dict().items())


def test_name_that_a_training_program_writes_is_tried_first(tmp_path, resnet):
    example = {"arch": "resnet18", "state_dict": {f"module.{key}": value for key, value in resnet.items()}}
    assert inspect_checkpoint(saved(tmp_path / "model.pth", example)).architecture == RESNET
    by_timm = {**example, "args": argparse.Namespace(model="resnet18"), "version": 2}
    found = inspect_checkpoint(saved(tmp_path / "model.pth", by_timm))
    assert found.architecture == "timm/resnet18"
    assert found.preprocessing == find("timm/resnet18").preprocessing != find(RESNET).preprocessing
    wrong = {**example, "arch": "resnet34"}
    assert inspect_checkpoint(saved(tmp_path / "model.pth", wrong)).architecture == RESNET


def test_vision_transformer_of_an_odd_size_is_found_without_its_name(tmp_path):
    path = saved(tmp_path / "model.pth", state_of("torchvision/vit_b_16", 2, image_size=80))
    found = inspect_checkpoint(path)
    assert (found.architecture, found.arguments) == ("torchvision/vit_b_16", {"image_size": 80})


class Anything(nn.Linear):
    """A network that is pickled as a whole."""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "truncated or corrupt"),
        (b"no model at all", "truncated or corrupt"),
        (nn.Linear(2, 2), r"holds code \(torch.nn.modules.linear.Linear\) and is not opened; save the state dict"),
        ({"model": Anything(2, 2)}, r'torch.save\(model.state_dict\(\), "model.pth"\)'),
        (torch.ones(3), "holds a tensor and no state dict"),
        ([1, 2], "holds list and no state dict"),
        ({"epoch": 3, "lr": 0.1}, r"holds no state dict \(its items: epoch, lr\)"),
        ({}, r"holds no state dict \(its items: none\)"),
    ],
)
def test_file_without_a_state_dict_is_refused(tmp_path, content, message):
    path = tmp_path / "model.pth"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(UnusableModel, match=message) as caught:
        inspect_checkpoint(path, RESNET)
    assert "\n" not in str(caught.value)


def test_torchscript_is_refused(tmp_path):
    with pytest.warns(FutureWarning):
        traced: Any = torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2))
        traced.save(str(tmp_path / "model.pt"))
    with pytest.raises(UnusableModel, match=r"is TorchScript, which holds code; export the model to ONNX"):
        inspect_checkpoint(tmp_path / "model.pt", RESNET)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_truncated_file_is_refused(tmp_path, resnet, suffix):
    path = tmp_path / f"model{suffix}"
    torch.save(resnet, path) if suffix == ".pth" else save_file(resnet, path)
    path.write_bytes(path.read_bytes()[:-100_000])
    with pytest.raises(UnusableModel, match="truncated or corrupt"):
        inspect_checkpoint(path, RESNET)


def test_missing_file_and_folder_are_refused(tmp_path):
    with pytest.raises(UnusableModel, match="there is no such file"):
        inspect_checkpoint(tmp_path / "gone.pth")
    with pytest.raises(UnusableModel, match="is a folder"):
        inspect_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ("torchvision/resnet34", r"does not fit torchvision/resnet34: Missing key\(s\) in state_dict: \"layer1.2"),
        ("torchvision/resnet50", "does not fit torchvision/resnet50: "),
        ("torchvision/vgg11", "its tensors have other names"),
        ("resnet18", "there is no architecture 'resnet18'; did you mean .*timm/resnet18"),
        ("torchvision/resnet81", "did you mean torchvision/resnet18"),
        ("timm/resnet18d_of_nobody", "timm/resnet18d_of_nobody cannot be built: timm [0-9.]+ has no model"),
        ("my_module:build", "module my_module may not be imported"),
    ],
)
def test_wrong_architecture_is_refused(tmp_path, resnet, architecture, message):
    with pytest.raises(UnusableModel, match=message) as caught:
        inspect_checkpoint(saved(tmp_path / "model.pth", resnet), architecture)
    assert "\n" not in str(caught.value)


def test_backbone_without_a_head_is_refused(tmp_path, resnet):
    headless = {key: value for key, value in resnet.items() if not key.startswith("fc.")}
    with pytest.raises(UnusableModel, match=r"it has no fc.weight: these are weights of a backbone without its head"):
        inspect_checkpoint(saved(tmp_path / "model.pth", headless), RESNET)

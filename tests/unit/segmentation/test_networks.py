"""U-Nets and the Mask R-CNN: sizes, translations, weights that fit each other."""

from typing import Any, cast

import pytest
import torch
from torch import nn

from models.detection.lite_faster_rcnn import build_faster_rcnn_lite
from models.segmentation.architectures import build_segmenter
from models.segmentation.lite_mask_rcnn import build_mask_rcnn_lite
from models.segmentation.lite_unet import build_unet_lite
from models.segmentation.unet import build_unet
from models.training.transfer import start_network

pytestmark = pytest.mark.usefixtures("one_thread")

UNETS = (lambda: build_unet(3, width=4, depth=3), lambda: build_unet_lite(3, width=8))


@pytest.mark.parametrize("build", UNETS)
@pytest.mark.parametrize("size", [(1, 1), (37, 51), (64, 64), (65, 96)])
def test_scores_have_the_size_of_the_image_whatever_it_is(build, size) -> None:
    with torch.inference_mode():
        assert build().eval()(torch.zeros(2, 3, *size)).shape == (2, 3, *size)


@pytest.mark.parametrize(("build", "start", "stride"), [(UNETS[0], "none", 8), (UNETS[1], "imagenet", 32)])
def test_a_moved_image_gives_the_moved_scores(build, start, stride) -> None:
    """By the stride, and so far from the borders that the network hardly sees them."""
    torch.manual_seed(0)
    network, side = build(), 512
    start_network(network, start)
    settled(network)
    image = torch.zeros(1, 3, side, side)
    image[:, :, 224:256, 224:256] = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        before, after = network(image), network(image.roll((stride, 2 * stride), (2, 3)))
    inside = slice(192, 320)
    moved = before.roll((stride, 2 * stride), (2, 3))
    assert (moved - after)[:, :, inside, inside].abs().max() < 0.02 * before.std()


def test_the_last_row_and_column_have_scores_of_their_own() -> None:
    torch.manual_seed(0)
    network = settled(build_unet(2, width=4, depth=2))
    image = torch.randn(1, 3, 21, 30)
    with torch.inference_mode():
        whole = network(torch.nn.functional.pad(image, (0, 2, 0, 3), mode="replicate"))
        assert torch.allclose(network(image), whole[:, :, :21, :30], atol=1e-5)


def test_mask_rcnn_takes_all_of_a_faster_rcnn() -> None:
    ours, theirs = build_mask_rcnn_lite(1).state_dict(), build_faster_rcnn_lite(1).state_dict()
    assert {key: value.shape for key, value in theirs.items()}.items() <= {
        key: value.shape for key, value in ours.items()
    }.items()
    assert all("mask" in key for key in ours.keys() - theirs.keys())


def test_small_anchors_are_a_share_of_the_usual_ones() -> None:
    usual, small = (cast(Any, build_mask_rcnn_lite(1, anchor_scale=scale)) for scale in (1.0, 0.5))
    assert [tuple(2 * side for side in level) for level in small.rpn.anchor_generator.sizes] == [
        tuple(level) for level in usual.rpn.anchor_generator.sizes
    ]


def test_a_unet_starts_from_the_encoder_of_a_detector() -> None:
    network: Any = build_unet_lite(2)
    before = network.decoder[0][0].weight.clone()
    start_network(network, "yolo-person")
    start: Any = build_unet_lite(2)
    start_network(start, "imagenet")
    assert torch.equal(network.decoder[0][0].weight, before)
    own, other = network.encoder.stages[3][0].expand[0].weight, start.encoder.stages[3][0].expand[0].weight
    assert 0 < (own - other).abs().mean() < 0.5 * other.abs().mean()  # fine-tuned, not unrelated


def test_architectures_say_what_they_cannot_be_built_with() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        build_segmenter("unet", 2, {"width": 0})
    with pytest.raises(ValueError, match="at least 1"):
        build_segmenter("unet-efficientnet-lite0", 2, {"width": 0})
    with pytest.raises(TypeError):
        build_segmenter("unet", 2, {"depths": 3})


def settled(network: nn.Module) -> nn.Module:
    """Gives batch norms the statistics of some noise, or the scores would vanish."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.inference_mode():
        network.train()(torch.randn(2, 3, 128, 128))
    return network.eval()

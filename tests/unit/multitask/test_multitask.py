"""A multi-task network: one pass of the trunk for all heads, and parts that are ordinary adapters."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.catalog.lookup import find
from models.entries import LetterboxPreprocessing
from models.multitask.architectures import multitask_model
from models.multitask.counts import count_class, count_class_names
from models.multitask.model import MultitaskModel
from models.multitask.network import COUNTED, MULTITASK, MultitaskRcnn, build_multitask
from models.parameters import ClassificationParameters, DetectionParameters, MultitaskParameters, SegmentationParameters
from models.predictions import Classification, InstanceMasks
from models.request_adapter import adapter_for
from models.runtime import Runtime
from models.segmentation.architectures import segmenter
from models.segmentation.lite_mask_rcnn import build_mask_rcnn_lite
from models.training.multitask_loss import heads_loss, multitask_loss
from models.training.multitask_run import multitask_parts
from models.training.targets import Target

_RUNTIME = Runtime(backend="torch", precision="fp32").resolve()


@pytest.fixture(scope="module")
def network() -> MultitaskRcnn:
    torch.manual_seed(0)
    return build_multitask(1, width=16, region_width=16, mask_width=8, semantic_width=4, count_width=8).eval()


@pytest.fixture(scope="module")
def model(network: MultitaskRcnn) -> MultitaskModel:
    entry = find("mask-rcnn-person")
    preprocessing = replace(entry.preprocessing, short_side=64, long_side=64)  # pyright: ignore[reportArgumentType]
    parts = multitask_parts(("person",), (1,))
    entry = replace(
        entry,
        task="multitask",
        segmentation=None,
        architecture=MULTITASK,
        preprocessing=preprocessing,
        parts=parts,
        defaults={},
    )
    return multitask_model(entry, _RUNTIME, network, "")


def _photo(seed: int, size: tuple[int, int] = (64, 64)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def test_one_pass_answers_every_part_in_the_order_of_the_kinds(model: MultitaskModel) -> None:
    (found,) = model.predict([_photo(0, (50, 60))])
    assert list(found.parts) == ["classification", "detection", "instance", "semantic"]
    assert found.image_size == (50, 60)


def test_objects_equal_those_that_a_mask_rcnn_of_the_same_weights_finds(
    model: MultitaskModel, network: MultitaskRcnn
) -> None:
    plain = build_mask_rcnn_lite(1, width=16, region_width=16, mask_width=8).eval()
    own = plain.state_dict()
    plain.load_state_dict({name: value for name, value in network.state_dict().items() if name in own})
    entry = replace(find("mask-rcnn-person"), preprocessing=model.entry.preprocessing)
    single = segmenter(entry, _RUNTIME, plain, "")
    wanted = SegmentationParameters(score_threshold=0.05, max_detections=5)
    (alone,) = single.predict([_photo(1)], wanted)
    (found,) = model.predict([_photo(1)], MultitaskParameters(instance=wanted))
    instance = found.parts["instance"]
    assert isinstance(instance, InstanceMasks) and isinstance(alone, InstanceMasks) and len(alone.scores) > 0
    assert np.array_equal(instance.boxes, alone.boxes) and instance.masks == alone.masks


@pytest.mark.parametrize("kind", ["classification", "detection", "instance", "semantic"])
def test_a_part_alone_predicts_what_it_does_together_with_the_others(model: MultitaskModel, kind: str) -> None:
    (together,) = model.predict([_photo(2)])
    (alone,) = model.part(kind).predict([_photo(2)])
    for name, value in vars(alone).items():
        if isinstance(value, np.ndarray):
            assert np.allclose(value, getattr(together.parts[kind], name), atol=1e-4)


def test_a_batch_predicts_what_single_images_do(model: MultitaskModel) -> None:
    batch = model.predict([_photo(3), _photo(4)])
    for found, seed in zip(batch, (3, 4), strict=True):
        (single,) = model.predict([_photo(seed)])
        for kind in ("classification", "detection"):
            one, other = vars(found.parts[kind]), vars(single.parts[kind])
            assert all(np.allclose(one[name], other[name], atol=1e-3) for name in one)


def test_only_wanted_parts_are_answered_with_their_parameters(model: MultitaskModel) -> None:
    wanted = MultitaskParameters(classification=ClassificationParameters(top_k=2))
    (found,) = adapter_for(model, None, wanted).predict([_photo(5)], wanted)
    assert list(found.parts) == ["classification"]
    assert len(found.parts["classification"].class_ids) == 2


def test_inputs_of_requests_for_other_parts_share_no_batch(model: MultitaskModel) -> None:
    image = model.decode(_photo(6))
    boxes = model.narrowed(MultitaskParameters(detection=DetectionParameters())).preprocess(image)
    assert boxes.batch_key != model.preprocess(image).batch_key


def test_by_openvino_each_part_is_a_compiled_network_of_its_own(
    model: MultitaskModel, network: MultitaskRcnn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    pytest.importorskip("openvino")
    compiled = multitask_model(model.entry, Runtime(backend="openvino", precision="fp32").resolve(), network, "")
    for kind in ("semantic", "classification"):
        wanted = MultitaskParameters(**{kind: {}})  # pyright: ignore[reportArgumentType]
        (found,), (expected,) = compiled.predict([_photo(7)], wanted), model.predict([_photo(7)], wanted)
        assert type(found.parts[kind]) is type(expected.parts[kind])
    (both,), (expected,) = compiled.predict([_photo(7)]), model.predict([_photo(7)])
    found, told = both.parts["classification"], expected.parts["classification"]
    assert isinstance(found, Classification) and isinstance(told, Classification)
    assert np.allclose(found.probabilities, told.probabilities, atol=1e-3)


def test_a_mapping_stands_for_the_parameters_of_its_kind() -> None:
    given: dict[str, dict[str, float]] = {"detection": {"score_threshold": 0.4}}
    wanted = MultitaskParameters(**given)  # pyright: ignore[reportArgumentType]
    assert wanted.wanted == {"detection": DetectionParameters(score_threshold=0.4)}


def test_a_part_that_the_network_lacks_is_named_in_the_error(model: MultitaskModel) -> None:
    with pytest.raises(ValueError, match="mask-rcnn-person has no part 'keypoints'; it has classification, detection"):
        model.part("keypoints")


def test_class_names_that_do_not_fit_the_network_are_refused(model: MultitaskModel, network: MultitaskRcnn) -> None:
    parts = {**model.entry.parts, "semantic": replace(model.entry.parts["semantic"], class_names=("person",))}
    with pytest.raises(ValueError, match=r"parts\.semantic\.class_names must be 2 names, not 1"):
        multitask_model(replace(model.entry, parts=parts), _RUNTIME, network, "")


def test_photos_are_classed_by_how_many_objects_they_hold() -> None:
    names = count_class_names("person", "people")
    assert [names[count_class(count)] for count in (0, 1, 2, 3, 5, 6, 90)] == [
        "no person",
        "1 person",
        "2 people",
        "3 to 5 people",
        "3 to 5 people",
        "6 or more people",
        "6 or more people",
    ]


def _target() -> Target:
    ids = torch.zeros(64, 64, dtype=torch.int32)
    ids[10:50, 10:50] = 1
    box, class_id, nothing = torch.tensor([[10.0, 10.0, 50.0, 50.0]]), torch.tensor([0]), torch.zeros(0, 4)
    return Target(box, class_id, nothing, ids, (ids > 0).to(torch.uint8), torch.tensor([True]))


def _small_network() -> MultitaskRcnn:
    torch.manual_seed(0)
    return build_multitask(1, width=16, region_width=16, mask_width=8, semantic_width=4, count_width=8).train()


def _learned(network: MultitaskRcnn) -> dict[str, bool]:
    parts: dict[str, torch.nn.Module] = dict(network.named_children())
    return {name: any(p.grad is not None for p in part.parameters()) for name, part in parts.items()}


def test_in_training_the_count_reads_the_scores_of_the_boxes_that_detection_finds(
    model: MultitaskModel, network: MultitaskRcnn
) -> None:
    item = model.preprocess(model.decode(_photo(8)))
    preprocessing = model.entry.preprocessing
    assert isinstance(preprocessing, LetterboxPreprocessing)
    images = (torch.tensor(item.pixels).permute(2, 0, 1)[None] - torch.tensor(preprocessing.mean)[:, None, None]) / (
        torch.tensor(preprocessing.std)[:, None, None]
    )
    with torch.inference_mode():
        (scores,) = network.box_scores(images, network.levels(network.tapped(images)))
    (found,) = model.part("detection").predict([_photo(8)], DetectionParameters(0.05, 0.5, COUNTED))
    assert len(found.scores) > 0 and np.allclose(scores[: len(found.scores)], found.scores, atol=1e-4)
    assert not scores[len(found.scores) :].any()


def test_finding_boxes_to_count_leaves_a_network_in_training_mode() -> None:
    network = _small_network()
    images = torch.randn(2, 3, 64, 64)
    scores = network.box_scores(images, network.levels(network.tapped(images)))
    assert scores.shape == (2, COUNTED) and not scores.requires_grad
    assert all(module.training for module in network.modules())


def test_every_head_and_the_trunk_learn_from_the_loss() -> None:
    network = _small_network()
    losses = multitask_loss(network, torch.randn(2, 3, 64, 64), [_target(), _target()])
    torch.stack(list(losses.values())).sum().backward()
    assert {"loss_mask", "loss_box_reg", "cross_entropy", "dice", "loss_count"} <= losses.keys()
    heads = (network.semantic, network.counting, network.roi_heads, network.backbone)
    assert all(any(p.grad is not None and p.grad.abs().sum() > 0 for p in head.parameters()) for head in heads)


def test_alone_the_two_heads_learn_and_all_else_stays_bit_for_bit() -> None:
    network = _small_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    losses = heads_loss(network, torch.randn(2, 3, 64, 64), [_target(), _target()])
    torch.stack(list(losses.values())).sum().backward()
    torch.optim.AdamW(network.parameters(), 0.01).step()
    assert losses.keys() == {"cross_entropy", "dice", "loss_count"}
    assert {name for name, learned in _learned(network).items() if learned} == {"semantic", "counting"}
    changed = {name.partition(".")[0] for name, value in network.state_dict().items() if not value.equal(before[name])}
    assert changed == {"semantic", "counting"}


def test_the_bundled_card_says_its_parts() -> None:
    entry = find("multitask-person")
    assert entry.kind == "multitask"
    assert list(entry.parts) == ["classification", "detection", "instance", "semantic"]
    assert "parts" in entry.to_dict() and "parts" not in find("mask-rcnn-person").to_dict()

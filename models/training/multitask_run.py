"""`tapetum train multitask`: from a data set to the model card of a multi-task network."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from torch import Tensor, nn

from models.datasets.label_problems import TellProblems
from models.datasets.photo_dataset import PhotoDataset
from models.datasets.samples import BACKGROUND, EvaluationSet
from models.entries import DETECTION_DEFAULTS, INSTANCE_DEFAULTS, CatalogEntry
from models.entries.parts import ModelPart
from models.multitask.architectures import build_multitask_network, multitask_model
from models.multitask.counts import count_class_names
from models.multitask.network import MultitaskRcnn
from models.runtime import Runtime
from models.sources.card_weights import as_stored
from models.training.engine import Progress
from models.training.multitask_loss import heads_loss, multitask_loss
from models.training.photo_run import PhotoOptions, PhotoTask, new_card, shown_names, train_on_photos
from models.training.segmenter_run import evaluate_adapter
from models.training.targets import Target

_PLURALS: Final = {"person": "people"}


def train_multitask(
    options: PhotoOptions,
    report: Callable[[Progress], None] = lambda progress: None,
    tell: TellProblems = lambda problems: None,
    heads_only: bool = False,
) -> Path:
    """Trains a multi-task network: see `models.training.photo_run.train_on_photos`.

    Args:
        options: What and how.
        report: Called with the progress every few steps.
        tell: Called with the labels that are wrong, before training.
        heads_only: Whether only the semantic and the classification head learn, and boxes and masks stay as they are.
    """
    return train_on_photos(options, _HEADS_TASK if heads_only else _TASK, report, tell)


def multitask_parts(class_names: tuple[str, ...], category_ids: tuple[int, ...] | None) -> dict[str, ModelPart]:
    """The parts of a network that finds objects of some classes.

    Args:
        class_names: Of the objects.
        category_ids: COCO category id of each; None where it is the class id plus one.
    """
    name = class_names[0] if len(class_names) == 1 else "object"
    return {
        "classification": ModelPart(count_class_names(name, _PLURALS.get(name, f"{name}s")), defaults={"top_k": 5}),
        "detection": ModelPart(class_names, category_ids, DETECTION_DEFAULTS),
        "instance": ModelPart(class_names, category_ids, INSTANCE_DEFAULTS),
        "semantic": ModelPart((BACKGROUND, *class_names)),
    }


def _card(options: PhotoOptions, data: PhotoDataset) -> CatalogEntry:
    if options.settings.native:
        raise ValueError(f"{options.architecture} sees whole photos, and none at its own size: native is for U-Nets")
    card = new_card(
        options,
        data,
        "multitask",
        defaults={},
        description=f"Counts {shown_names(data)}, and finds them with boxes, masks and pixel by pixel.",
    )
    return replace(card, parts=multitask_parts(data.class_names, data.category_ids))


def _build(card: CatalogEntry) -> nn.Module:
    return build_multitask_network(card.architecture, card.class_count, card.arguments)


def _evaluate(network: nn.Module, card: CatalogEntry, dataset: EvaluationSet, runtime: Runtime) -> dict[str, float]:
    """Measures the masks of objects through the adapter that serves them; the other parts by `tapetum evaluate`."""
    served = _build(card).eval()
    served.load_state_dict(as_stored(network.state_dict()))
    return evaluate_adapter(multitask_model(card, runtime, served, "").part("instance"), dataset)


def _objective(network: nn.Module, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
    assert isinstance(network, MultitaskRcnn)
    return multitask_loss(network, images, targets)


def _slow(network: nn.Module) -> nn.Module:
    """What starts from a Mask R-CNN; the semantic head meets another trunk than the one that it learned from."""
    assert isinstance(network, MultitaskRcnn)
    return nn.ModuleList([network.backbone, network.rpn, network.roi_heads])  # pyright: ignore[reportArgumentType]


def _heads_objective(network: nn.Module, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
    assert isinstance(network, MultitaskRcnn)
    return heads_loss(network, images, targets)


_TASK: Final = PhotoTask(_card, _build, _objective, _evaluate, lambda options: "instance", slow=_slow)
_HEADS_TASK: Final = replace(
    _TASK, objective=_heads_objective, frozen="all but the semantic and the classification head"
)

"""From the options of `tapetum train` to those of a training run over photos."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.cli.console import CommandError
from services.cli.train_options import MaskFlags, PhotoFlags, PoseFlags

if TYPE_CHECKING:
    from models.training.augmentation import Augmentation
    from models.training.photo_run import PhotoOptions
    from models.training.pose_run import PoseOptions

_EARLY_SHARE = 0.85
_CLOSING_SHARE = 0.25
_SIDE_MULTIPLE = 32
_POSE_SCALE = (0.7, 1.4)
_POSE_BATCH, _POSE_RATE = 8, 4e-4
_BRANCH_BATCH, _BRANCH_RATE = 32, 1.5e-3


def branch_options(flags: PoseFlags, name: str) -> PoseOptions:
    """Options of a run in which only the keypoint branch learns.

    Args:
        flags: Of the command.
        name: Of the model.

    Raises:
        CommandError: `--mosaic` is for whole photos.
    """
    from models.training.engine import Schedule
    from models.training.pose_recipe import PoseSettings
    from models.training.pose_run import PoseOptions

    if flags.mosaic:
        raise CommandError("--mosaic is for whole photos: name what of the backbone learns by --freeze", 2)
    batch_size, rate = flags.batch_size or _BRANCH_BATCH, flags.learning_rate or _BRANCH_RATE
    return PoseOptions(
        settings=PoseSettings(flags.views, flags.flip, flags.epochs, batch_size=batch_size, seed=flags.seed),
        schedule=Schedule(flags.epochs, rate, evaluate_every=flags.evaluate_every),
        **_shared(flags, name),
    )


def whole_pose_options(flags: PoseFlags, name: str) -> PhotoOptions:
    """Options of a run in which boxes and key points learn together.

    Args:
        flags: Of the command.
        name: Of the model.
    """
    from models.training.augmentation import Augmentation
    from models.training.engine import Schedule
    from models.training.photo_recipe import PhotoSettings
    from models.training.photo_run import PhotoOptions

    assert flags.freeze != "all"
    closing = round((_CLOSING_SHARE if flags.mosaic else 1.0) * flags.epochs)
    batch_size, rate = flags.batch_size or _POSE_BATCH, flags.learning_rate or _POSE_RATE
    return PhotoOptions(
        freeze=flags.freeze,
        settings=PhotoSettings(closing_epochs=closing, epochs=flags.epochs, batch_size=batch_size, seed=flags.seed),
        schedule=Schedule(flags.epochs, rate, evaluate_every=flags.evaluate_every),
        augmentation=Augmentation(mosaic=flags.mosaic, scale=_POSE_SCALE, flip=0.5 if flags.flip else 0.0),
        **_shared(flags, name),
    )


def photo_options(
    flags: PhotoFlags, name: str, augmentation: Augmentation, native: bool = False, **others: Any
) -> PhotoOptions:
    """Options of a detector, a segmenter or a multi-task network.

    Args:
        flags: Of the command.
        name: Of the model.
        augmentation: How far images may be from their photos.
        native: Whether a U-Net learns from photos at their own size.
        others: Further fields of `PhotoOptions`.
    """
    from models.training.engine import Schedule
    from models.training.photo_recipe import PhotoSettings
    from models.training.photo_run import PhotoOptions

    early_side = max(_SIDE_MULTIPLE, round(_EARLY_SHARE * flags.size / _SIDE_MULTIPLE) * _SIDE_MULTIPLE)
    closing_epochs = flags.closing_epochs
    settings = PhotoSettings(
        side=flags.size,
        early_side=flags.early_size or early_side,
        closing_epochs=round(_CLOSING_SHARE * flags.epochs) if closing_epochs is None else closing_epochs,
        epochs=flags.epochs,
        batch_size=flags.batch_size,
        seed=flags.seed,
        native=native,
    )
    return PhotoOptions(
        classes=tuple(part.strip() for part in flags.classes.split(",")) if flags.classes else None,
        freeze=flags.freeze,
        settings=settings,
        schedule=Schedule(flags.epochs, flags.learning_rate, evaluate_every=flags.evaluate_every),
        augmentation=augmentation,
        **_shared(flags, name),
        **others,
    )


def mask_augmentation(flags: MaskFlags) -> Augmentation:
    """The augmentation of photos with masks.

    Args:
        flags: Of the command.
    """
    from models.training.augmentation import Augmentation

    scale = (flags.least_scale, flags.greatest_scale)
    return Augmentation(mosaic=flags.mosaic, scale=scale, flip=0.5 if flags.flip else 0.0)


def _shared(flags: PhotoFlags | PoseFlags, name: str) -> dict[str, Any]:
    """The fields of `models.training.run_options.PhotoDataOptions`."""
    names = ("output", "start", "device", "precision", "licence", "allow_outside", "strict")
    return {
        "architecture": flags.model,
        "data": tuple(flags.data),
        "name": name,
        **{each: getattr(flags, each) for each in names},
    }

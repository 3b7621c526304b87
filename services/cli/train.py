"""`tapetum train`: from a folder of images to a model that `tapetum serve` serves."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from services.cli.console import CommandError, no_such_model
from services.cli.training_session import run_training

if TYPE_CHECKING:
    from models.datasets.label_problems import TellProblems
    from models.training.engine import Progress
    from models.training.photo_recipe import PhotoSettings

app = typer.Typer(no_args_is_help=True, help="Train and fine-tune models on your own images.")

_EARLY_SHARE = 0.85
_CLOSING_SHARE = 0.25
_SIDE_MULTIPLE = 32

_Output = Annotated[
    Path, typer.Option(metavar="DIR", help="Folder for the model; name it in TAPETUM_CATALOG to serve.")
]
_Name = Annotated[
    str | None, typer.Option(metavar="NAME", help="What to call the model; by default after data and architecture.")
]
_BatchSize = Annotated[int, typer.Option(min=2, metavar="N", help="Images a step.")]
_Device = Annotated[str, typer.Option(metavar="DEVICE", help="Where to train: cpu, cuda or cuda:N.")]
_Precision = Annotated[
    Literal["auto", "fp32", "bf16"], typer.Option(help="Arithmetic; auto is bf16 where the hardware has it.")
]
_Seed = Annotated[int, typer.Option(min=0, help="Of every random choice.")]
_Classes = Annotated[
    str | None, typer.Option(metavar="A,B,…", help="Categories to find; by default all of the first folder.")
]
_Start = Annotated[str, typer.Option(metavar="WEIGHTS", help="imagenet, none, or a model of the catalog.")]
_Freeze = Annotated[
    Literal["none", "filters", "backbone"],
    typer.Option(help="What of an EfficientNet-Lite0 backbone keeps its weights."),
]
_Size = Annotated[int, typer.Option(min=32, metavar="PIXELS", help="Longest side of the photos, a multiple of 32.")]
_EarlySize = Annotated[
    int | None,
    typer.Option(min=32, metavar="PIXELS", help="That of all but the last epochs; by default 85 % of --size."),
]
_ClosingEpochs = Annotated[
    int | None,
    typer.Option(min=0, metavar="N", help="Last epochs, at full size and without mosaics; by default a quarter."),
]
_Epochs = Annotated[int, typer.Option(min=1, metavar="N", help="Passes over the photos.")]
_LearningRate = Annotated[float, typer.Option(min=1e-9, metavar="RATE", help="The greatest.")]
_EvaluateEvery = Annotated[int, typer.Option(min=1, metavar="N", help="Epochs between two evaluations.")]
_Flip = Annotated[bool, typer.Option(help="Mirror images; not for letters and digits.")]
_AllowOutside = Annotated[
    bool, typer.Option("--allow-outside", help="Read files outside the data folders that labels or links lead to.")
]
_Strict = Annotated[bool, typer.Option("--strict", help="Stop on a wrong or missing label, rather than leave it out.")]
_Licence = Annotated[str, typer.Option(metavar="TEXT", help="Licence of the weights, for the card.")]


@app.command(epilog="Example: tapetum train classifier --model torchvision/resnet18 --data flowers --freeze-backbone")
def classifier(
    model: Annotated[str, typer.Option(metavar="NAME", help="Architecture: efficientnet-lite0 or torchvision/NAME.")],
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="Images: DIR/train/CLASS/… and DIR/val/CLASS/…, or DIR/CLASS/….")
    ],
    freeze_backbone: Annotated[
        bool, typer.Option("--freeze-backbone", help="Train a new last layer only, upon features that stay.")
    ] = False,
    start: Annotated[
        str,
        typer.Option(metavar="WEIGHTS", help="imagenet, none, a model of the catalog, or the path of a card."),
    ] = "imagenet",
    size: Annotated[
        int | None,
        typer.Option(
            min=16,
            metavar="PIXELS",
            help="Side of the images; by default the architecture's, or for images below 64 pixels theirs.",
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, metavar="N", help="Passes over the images.")] = 20,
    batch_size: _BatchSize = 32,
    learning_rate: Annotated[
        float | None,
        typer.Option(min=1e-9, metavar="RATE", help="The greatest; by default 0.003, or 0.001 from --start none."),
    ] = None,
    flip: _Flip = True,
    val_share: Annotated[
        float, typer.Option(min=0.01, max=0.9, metavar="SHARE", help="Held out of DIR/CLASS/….")
    ] = 0.2,
    evaluate_every: Annotated[int, typer.Option(min=1, metavar="N", help="Epochs between two evaluations.")] = 1,
    name: _Name = None,
    output: _Output = Path("trained"),
    device: _Device = "cpu",
    precision: _Precision = "auto",
    seed: _Seed = 0,
    licence: _Licence = "as the data allows",
    allow_outside: _AllowOutside = False,
    strict: _Strict = False,
) -> None:
    """Train a classifier on folders by class.

    What is left of an interrupted run goes on with the same command. The best start for few images is
    --freeze-backbone; with more, leave it out.
    """
    name = name or _name_after(data, model)

    def train(report: Callable[[Progress], None], tell: TellProblems) -> Path:
        from models.classification.architectures import known_classifiers
        from models.training.classifier_run import ClassifierOptions, train_classifier

        if model not in known_classifiers():
            raise no_such_model(model, known_classifiers())
        options = ClassifierOptions(
            architecture=model,
            data=data,
            output=output,
            name=name,
            start=start,
            freeze_backbone=freeze_backbone,
            size=size,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            flip=flip,
            val_share=val_share,
            evaluate_every=evaluate_every,
            device=device,
            precision=precision,
            seed=seed,
            licence=licence,
            allow_outside=allow_outside,
            strict=strict,
        )
        return train_classifier(options, report, tell)

    run_training(train, name, output, "classify")


@app.command(epilog="Example: tapetum train detector --model yolox-efficientnet-lite0 --data plates --name plates")
def detector(
    model: Annotated[
        str,
        typer.Option(metavar="NAME", help="Architecture, such as yolox-efficientnet-lite0, yolox-tiny or yolov1."),
    ],
    data: Annotated[
        list[Path],
        typer.Option(
            metavar="DIR",
            help="Photos in COCO's format. May be repeated: further folders only add photos to learn from.",
        ),
    ],
    classes: _Classes = None,
    start: _Start = "imagenet",
    freeze: _Freeze = "filters",
    size: _Size = 416,
    early_size: _EarlySize = None,
    closing_epochs: _ClosingEpochs = None,
    epochs: _Epochs = 30,
    batch_size: _BatchSize = 16,
    learning_rate: _LearningRate = 1.5e-3,
    flip: _Flip = True,
    evaluate_every: _EvaluateEvery = 5,
    name: _Name = None,
    output: _Output = Path("trained"),
    device: _Device = "cpu",
    precision: _Precision = "auto",
    seed: _Seed = 0,
    licence: _Licence = "as the data allows",
    allow_outside: _AllowOutside = False,
    strict: _Strict = False,
) -> None:
    """Train a detector on photos with boxes.

    What is left of an interrupted run goes on with the same command.
    """
    name = name or _name_after(data[0], model)

    def train(report: Callable[[Progress], None], tell: TellProblems) -> Path:
        from models.detection.architectures import known_detectors
        from models.training.augmentation import Augmentation
        from models.training.detector_run import train_detector
        from models.training.engine import Schedule
        from models.training.photo_run import PhotoOptions

        if model not in known_detectors():
            raise no_such_model(model, known_detectors())
        options = PhotoOptions(
            architecture=model,
            data=tuple(data),
            output=output,
            name=name,
            classes=_names(classes),
            start=start,
            freeze=freeze,
            device=device,
            precision=precision,
            settings=_settings(size, early_size, epochs, closing_epochs, batch_size, seed),
            schedule=Schedule(epochs=epochs, learning_rate=learning_rate, evaluate_every=evaluate_every),
            augmentation=Augmentation() if flip else Augmentation(flip=0.0),
            licence=licence,
            allow_outside=allow_outside,
            strict=strict,
        )
        return train_detector(options, report, tell)

    run_training(train, name, output, "detect")


@app.command(epilog="Example: tapetum train segmenter --model unet-efficientnet-lite0 --data cells --native --size 256")
def segmenter(
    model: Annotated[
        str,
        typer.Option(metavar="NAME", help="unet-efficientnet-lite0, unet, or mask-rcnn-efficientnet-lite0."),
    ],
    data: Annotated[
        list[Path],
        typer.Option(
            metavar="DIR",
            help="Photos in COCO's format (polygons or run lengths), or with PNGs whose pixels are numbers of objects "
            "or classes. May be repeated: further folders only add photos to learn from.",
        ),
    ],
    classes: _Classes = None,
    class_name: Annotated[str, typer.Option(metavar="NAME", help="What PNGs with numbers of objects show.")] = "object",
    start: _Start = "imagenet",
    freeze: _Freeze = "filters",
    size: _Size = 416,
    early_size: _EarlySize = None,
    native: Annotated[
        bool,
        typer.Option("--native", help="Of a U-Net: photos at their own size, learned in parts, served in tiles."),
    ] = False,
    closing_epochs: _ClosingEpochs = None,
    epochs: _Epochs = 30,
    batch_size: _BatchSize = 16,
    learning_rate: _LearningRate = 1.5e-3,
    mosaic: Annotated[float, typer.Option(min=0, max=1, metavar="SHARE", help="Images made of four photos.")] = 0.25,
    least_scale: Annotated[
        float, typer.Option(min=0.05, max=1, metavar="X", help="Smallest size of a photo, as a share of what fits.")
    ] = 0.75,
    greatest_scale: Annotated[
        float, typer.Option(min=1, max=8, metavar="X", help="Greatest size of a photo, as a share of what fits.")
    ] = 1.6,
    turn: Annotated[
        bool, typer.Option("--turn", help="Turn images by quarters, and invert some: for microscopes.")
    ] = False,
    masked_only: Annotated[
        bool, typer.Option("--masked-only", help="Leave out photos that have boxes and no masks.")
    ] = False,
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="A model that gives masks to photos with boxes only, such as mask-rcnn-person."
        ),
    ] = None,
    anchor_scale: Annotated[
        float | None,
        typer.Option(min=0.1, max=10, metavar="X", help="Of a Mask R-CNN: below 1 for small objects, above for large."),
    ] = None,
    max_regions: Annotated[
        int | None,
        typer.Option(min=10, max=2000, metavar="N", help="Of a Mask R-CNN: regions that are looked at closely."),
    ] = None,
    flip: _Flip = True,
    evaluate_every: _EvaluateEvery = 5,
    name: _Name = None,
    output: _Output = Path("trained"),
    device: _Device = "cpu",
    precision: _Precision = "auto",
    seed: _Seed = 0,
    licence: _Licence = "as the data allows",
    allow_outside: _AllowOutside = False,
    strict: _Strict = False,
) -> None:
    """Train a segmenter on photos with masks: a U-Net for classes, a Mask R-CNN for objects.

    What is left of an interrupted run goes on with the same command.
    """
    name = name or _name_after(data[0], model)

    def train(report: Callable[[Progress], None], tell: TellProblems) -> Path:
        from models.segmentation.architectures import known_segmenters, segmentation_of
        from models.training.augmentation import Augmentation
        from models.training.engine import Schedule
        from models.training.photo_run import PhotoOptions
        from models.training.segmenter_run import train_segmenter

        if model not in known_segmenters():
            raise no_such_model(model, known_segmenters())
        if segmentation_of(model) == "instance" and native:
            raise CommandError("--native is for a U-Net: a Mask R-CNN is served with the whole photo, not in tiles", 2)
        if segmentation_of(model) == "semantic" and not (anchor_scale is None and max_regions is None):
            raise CommandError("--anchor-scale and --max-regions are for a Mask R-CNN: a U-Net looks for no objects", 2)
        augmentation = Augmentation(mosaic=mosaic, scale=(least_scale, greatest_scale), flip=0.5 if flip else 0.0)
        arguments = {"anchor_scale": anchor_scale, "max_regions": max_regions}
        options = PhotoOptions(
            architecture=model,
            data=tuple(data),
            output=output,
            name=name,
            classes=_names(classes),
            class_name=class_name,
            masked_only=masked_only,
            teacher=teacher,
            start=start,
            freeze=freeze,
            arguments={key: value for key, value in arguments.items() if value is not None},
            device=device,
            precision=precision,
            settings=_settings(size, early_size, epochs, closing_epochs, batch_size, seed, native),
            schedule=Schedule(epochs=epochs, learning_rate=learning_rate, evaluate_every=evaluate_every),
            augmentation=augmentation.turned() if turn else augmentation,
            licence=licence,
            allow_outside=allow_outside,
            strict=strict,
        )
        return train_segmenter(options, report, tell)

    run_training(train, name, output, "segment")


def _settings(
    size: int,
    early_size: int | None,
    epochs: int,
    closing_epochs: int | None,
    batch_size: int,
    seed: int,
    native: bool = False,
) -> PhotoSettings:
    from models.training.photo_recipe import PhotoSettings

    return PhotoSettings(
        side=size,
        early_side=early_size or max(_SIDE_MULTIPLE, round(_EARLY_SHARE * size / _SIDE_MULTIPLE) * _SIDE_MULTIPLE),
        closing_epochs=round(_CLOSING_SHARE * epochs) if closing_epochs is None else closing_epochs,
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        native=native,
    )


def _names(classes: str | None) -> tuple[str, ...] | None:
    return tuple(part.strip() for part in classes.split(",")) if classes else None


def _name_after(data: Path, model: str) -> str:
    """`flowers` and `torchvision/resnet18` to `flowers-resnet18`; of a file the folder counts."""
    folder = data.resolve().parent if data.suffix and not data.is_dir() else data.resolve()
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{folder.name}-{model.rpartition('/')[2]}")
    return words.strip("-._") or "model"

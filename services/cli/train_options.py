"""The options of `tapetum train`, each written once: a data class for every command, which inherits what it shares."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import typer

from services.cli.options import ContentWeight, Smoothness, StyleWeight

EvaluateEvery = Annotated[int, typer.Option(min=1, metavar="N", help="Epochs between two evaluations.")]
ValShare = Annotated[
    float, typer.Option(min=0.01, max=0.9, metavar="SHARE", help="Held out of data without a val split.")
]
LearningRate = Annotated[float, typer.Option(min=1e-9, metavar="RATE", help="The greatest.")]
Flip = Annotated[bool, typer.Option(help="Mirror images; not for letters and digits.")]


@dataclass(frozen=True, kw_only=True)
class RunFlags:
    """Options of every command."""

    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What to call the model, or NAME@VERSION for a further version of one; by default after data and "
            "architecture.",
        ),
    ] = None
    output: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the model; name it in TAPETUM_CATALOG to serve.")
    ] = Path("trained")
    device: Annotated[str, typer.Option(metavar="DEVICE", help="Where to train: cpu, cuda or cuda:N.")] = "cpu"
    seed: Annotated[int, typer.Option(min=0, help="Of every random choice.")] = 0
    licence: Annotated[str, typer.Option(metavar="TEXT", help="Licence of the weights, for the card.")] = (
        "as the data allows"
    )


@dataclass(frozen=True, kw_only=True)
class LabelledFlags(RunFlags):
    """Options of the commands that learn from images with labels."""

    precision: Annotated[
        Literal["auto", "fp32", "bf16"], typer.Option(help="Arithmetic; auto is bf16 where the hardware has it.")
    ] = "auto"
    allow_outside: Annotated[
        bool, typer.Option("--allow-outside", help="Read files outside the data folders that labels or links lead to.")
    ] = False
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop on a wrong or missing label, rather than leave it out.")
    ] = False


@dataclass(frozen=True, kw_only=True)
class SignalFlags(RunFlags):
    """Options of `tapetum train signal`."""

    data: Annotated[
        str,
        typer.Option(
            metavar="DATA",
            help="mnist1d, mnist1d:SEED:COUNT, a NumPy archive *.npz with arrays signals and labels, or a folder with "
            "train.npz and val.npz.",
        ),
    ]
    epochs: Annotated[int, typer.Option(min=1, metavar="N", help="Passes over the signals.")] = 30
    batch_size: Annotated[int, typer.Option(min=2, metavar="N", help="Signals a step.")] = 64
    learning_rate: LearningRate = 3e-3
    evaluate_every: EvaluateEvery = 5
    val_share: ValShare = 0.2


@dataclass(frozen=True, kw_only=True)
class StyleFlags(RunFlags):
    """Options of `tapetum train style`."""

    style: Annotated[
        str, typer.Option(metavar="STYLE", help="The picture with the style, or stained-glass, drawn by code.")
    ]
    data: Annotated[Path, typer.Option(metavar="FOLDER", help="Photos to learn on; subfolders are searched, too.")]
    name: Annotated[str, typer.Option(metavar="NAME", help="What to call the model, or NAME@VERSION.")] = (
        field()  # required: without it the default would be inherited
    )
    style_size: Annotated[int, typer.Option(min=32, metavar="N", help="Long side of the style picture in pixels.")] = (
        256
    )
    size: Annotated[int, typer.Option(min=64, metavar="N", help="Side of the crops of photos in pixels.")] = 128
    steps: Annotated[int, typer.Option(min=100, metavar="N", help="Steps, a multiple of 100.")] = 2400
    batch_size: Annotated[int, typer.Option(min=1, metavar="N", help="Crops a step.")] = 2
    learning_rate: LearningRate = 2e-3
    content_weight: ContentWeight = 6.0
    style_weight: StyleWeight = 30.0
    smoothness: Smoothness = 4.0


@dataclass(frozen=True, kw_only=True)
class GeneratorFlags(LabelledFlags):
    """Options of `tapetum train generator`."""

    data: Annotated[
        Path,
        typer.Option(
            metavar="DATA",
            help="Images by class, as for `tapetum train classifier`: they are learned as grey ones of 28 x 28 pixels.",
        ),
    ]
    judge: Annotated[
        str,
        typer.Option(
            metavar="MODEL", help="A classifier with the same classes, whose features measure the generated images."
        ),
    ] = "mnist"
    latent_size: Annotated[int, typer.Option(min=1, max=4096, metavar="N", help="Numbers of noise an image.")] = 64
    width: Annotated[
        int, typer.Option(min=1, max=256, metavar="N", help="Channels of the generator's last hidden layer.")
    ] = 32
    epochs: Annotated[int, typer.Option(min=1, metavar="N", help="Passes over the images.")] = 50
    batch_size: Annotated[int, typer.Option(min=2, metavar="N", help="Images a step.")] = 64
    learning_rate: Annotated[
        float, typer.Option(min=1e-9, metavar="RATE", help="The generator's greatest; the discriminator's is twice it.")
    ] = 2e-4
    evaluate_every: EvaluateEvery = 5
    val_share: ValShare = 0.2


@dataclass(frozen=True, kw_only=True)
class ClassifierFlags(LabelledFlags):
    """Options of `tapetum train classifier`."""

    model: Annotated[
        str,
        typer.Option(metavar="NAME", help="Architecture: efficientnet-lite0, torchvision/NAME, lenet5 or resnet20."),
    ]
    data: Annotated[
        Path,
        typer.Option(
            metavar="DATA",
            help="Images: DIR/train/CLASS/… and DIR/val/CLASS/…, or DIR/CLASS/…; a table, *.csv or labels.json; "
            "or an archive, *.zip or *.npz, perhaps one for each split.",
        ),
    ]
    freeze_backbone: Annotated[
        bool, typer.Option("--freeze-backbone", help="Train a new last layer only, upon features that stay.")
    ] = False
    start: Annotated[
        str, typer.Option(metavar="WEIGHTS", help="imagenet, none, a model of the catalog, or the path of a card.")
    ] = "imagenet"
    size: Annotated[
        int | None,
        typer.Option(
            min=16,
            metavar="PIXELS",
            help="Side of the images; by default the architecture's, or for images below 64 pixels theirs.",
        ),
    ] = None
    epochs: Annotated[int, typer.Option(min=1, metavar="N", help="Passes over the images.")] = 20
    batch_size: Annotated[int, typer.Option(min=2, metavar="N", help="Images a step.")] = 32
    learning_rate: Annotated[
        float | None,
        typer.Option(min=1e-9, metavar="RATE", help="The greatest; by default 0.003, or 0.001 from --start none."),
    ] = None
    optimizer: Annotated[
        Literal["adamw", "sgd"],
        typer.Option(help="sgd has Nesterov's momentum, and wants a greater --learning-rate, such as 0.1."),
    ] = "adamw"
    weight_decay: Annotated[float, typer.Option(min=0, metavar="DECAY", help="Of matrices and kernels.")] = 0.02
    ema_decay: Annotated[
        float,
        typer.Option(min=0, max=0.999999, metavar="DECAY", help="Share of the moving average that stays at each step."),
    ] = 0.998
    label_smoothing: Annotated[
        float, typer.Option(min=0, max=0.9, metavar="SHARE", help="Of the truth, spread over all classes.")
    ] = 0.1
    val_share: ValShare = 0.2
    evaluate_every: EvaluateEvery = 1
    early_size: Annotated[
        int | None,
        typer.Option(
            min=16, metavar="PIXELS", help="Side of the images in all but the last epochs; by default --size."
        ),
    ] = None
    closing_epochs: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Last epochs, at full size; by default half of all with --early-size."),
    ] = None
    flip: Flip = True
    crop_padding: Annotated[
        int,
        typer.Option(
            min=0, max=64, metavar="PIXELS", help="Pad images, and crop their own size at random; 0: crops of any size."
        ),
    ] = 0
    invert: Annotated[
        float, typer.Option(min=0, max=1, metavar="SHARE", help="Images with inverted colours: of digits or letters.")
    ] = 0


@dataclass(frozen=True, kw_only=True)
class PoseFlags(LabelledFlags):
    """Options of `tapetum train pose`."""

    model: Annotated[str, typer.Option(metavar="NAME", help="Architecture: keypoint-rcnn-efficientnet-lite0.")] = (
        "keypoint-rcnn-efficientnet-lite0"
    )
    data: Annotated[
        list[Path],
        typer.Option(
            metavar="DATA",
            help="Photos with key points in COCO's format, or in YOLO's with kpt_shape. May be repeated: further data "
            "only adds photos to learn from.",
        ),
    ]
    start: Annotated[
        str,
        typer.Option(
            metavar="MODEL", help="The detector that finds the objects, or a pose estimator: one with this backbone."
        ),
    ] = "mask-rcnn-person"
    freeze: Annotated[
        Literal["all", "none", "filters", "backbone"],
        typer.Option(
            help="What keeps its weights: all but the keypoint branch, which learns from features computed once; or, "
            "on whole photos, the backbone, its filters or nothing."
        ),
    ] = "all"
    views: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Of --freeze all: views of a photo, plain, mirrored, smaller, in other colours."
        ),
    ] = 3
    mosaic: Annotated[
        float, typer.Option(min=0, max=1, metavar="SHARE", help="On whole photos: images made of four.")
    ] = 0.0
    flip: Flip = True
    epochs: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Passes over the photos; of --freeze all over half of the regions."),
    ] = 5
    batch_size: Annotated[
        int | None, typer.Option(min=2, metavar="N", help="Photos a step, 8 by default; of --freeze all objects, 32.")
    ] = None
    learning_rate: Annotated[
        float | None,
        typer.Option(min=1e-9, metavar="RATE", help="The greatest; 0.0004 by default, 0.0015 with --freeze all."),
    ] = None
    evaluate_every: EvaluateEvery = 2


@dataclass(frozen=True, kw_only=True)
class PhotoFlags(LabelledFlags):
    """Options of the commands that learn from photos with labelled objects."""

    model: str
    data: Annotated[
        list[Path],
        typer.Option(
            metavar="DATA",
            help="Images with boxes: a folder or file in any format of `tapetum evaluate`. May be repeated: further "
            "data only adds photos to learn from.",
        ),
    ]
    classes: Annotated[
        str | None, typer.Option(metavar="A,B,…", help="Classes to find; by default all of the first data set.")
    ] = None
    start: Annotated[str, typer.Option(metavar="WEIGHTS", help="imagenet, none, or a model of the catalog.")] = (
        "imagenet"
    )
    freeze: Annotated[
        Literal["none", "filters", "backbone"],
        typer.Option(help="What of an EfficientNet-Lite0 backbone keeps its weights."),
    ] = "filters"
    size: Annotated[
        int, typer.Option(min=32, metavar="PIXELS", help="Longest side of the photos, a multiple of 32.")
    ] = 416
    early_size: Annotated[
        int | None,
        typer.Option(min=32, metavar="PIXELS", help="That of all but the last epochs; by default 85 % of --size."),
    ] = None
    closing_epochs: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Last epochs, at full size and without mosaics; by default a quarter."),
    ] = None
    flip: Flip = True
    epochs: Annotated[int, typer.Option(min=1, metavar="N", help="Passes over the photos.")] = 30
    batch_size: Annotated[int, typer.Option(min=2, metavar="N", help="Images a step.")] = 16
    learning_rate: LearningRate = 1.5e-3
    evaluate_every: EvaluateEvery = 5


@dataclass(frozen=True, kw_only=True)
class DetectorFlags(PhotoFlags):
    """Options of `tapetum train detector`."""

    model: Annotated[
        str,
        typer.Option(metavar="NAME", help="Architecture, such as yolox-efficientnet-lite0, yolox-tiny or yolov1."),
    ]


@dataclass(frozen=True, kw_only=True)
class MaskFlags(PhotoFlags):
    """Options of the commands that learn masks."""

    mosaic: Annotated[float, typer.Option(min=0, max=1, metavar="SHARE", help="Images made of four photos.")] = 0.25
    least_scale: Annotated[
        float, typer.Option(min=0.05, max=1, metavar="X", help="Smallest size of a photo, as a share of what fits.")
    ] = 0.75
    greatest_scale: Annotated[
        float, typer.Option(min=1, max=8, metavar="X", help="Greatest size of a photo, as a share of what fits.")
    ] = 1.6
    masked_only: Annotated[
        bool, typer.Option("--masked-only", help="Leave out photos that have boxes and no masks.")
    ] = False
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="A model that gives masks to photos with boxes only, such as mask-rcnn-person."
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class SegmenterFlags(MaskFlags):
    """Options of `tapetum train segmenter`."""

    model: Annotated[
        str, typer.Option(metavar="NAME", help="unet-efficientnet-lite0, unet, or mask-rcnn-efficientnet-lite0.")
    ]
    data: Annotated[
        list[Path],
        typer.Option(
            metavar="DATA",
            help="Photos in COCO's format (polygons or run lengths), in YOLO's (polygons) or in Pascal VOC's, or with "
            "PNGs whose pixels are numbers of objects or classes. May be repeated: further data only adds photos to "
            "learn from.",
        ),
    ]
    class_name: Annotated[str, typer.Option(metavar="NAME", help="What PNGs with numbers of objects show.")] = "object"
    native: Annotated[
        bool,
        typer.Option("--native", help="Of a U-Net: photos at their own size, learned in parts, served in tiles."),
    ] = False
    turn: Annotated[bool, typer.Option("--turn", help="Turn images by quarters, and invert some: for microscopes.")] = (
        False
    )
    anchor_scale: Annotated[
        float | None,
        typer.Option(min=0.1, max=10, metavar="X", help="Of a Mask R-CNN: below 1 for small objects, above for large."),
    ] = None
    max_regions: Annotated[
        int | None,
        typer.Option(min=10, max=2000, metavar="N", help="Of a Mask R-CNN: regions that are looked at closely."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class MultitaskFlags(MaskFlags):
    """Options of `tapetum train multitask`."""

    model: Annotated[str, typer.Option(metavar="NAME", help="The architecture.")] = "multitask-efficientnet-lite0"
    start: Annotated[
        str,
        typer.Option(
            metavar="WEIGHTS",
            help="imagenet, none, or models with commas between: the last counts most.",
        ),
    ] = "unet-person,mask-rcnn-person"
    heads_only: Annotated[
        bool,
        typer.Option("--heads-only", help="Train the semantic and the counting head only; boxes and masks stay."),
    ] = False

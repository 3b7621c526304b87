"""`tapetum train`: from a folder of images to a model that `tapetum serve` serves."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from services.cli.console import no_such_model
from services.cli.training_session import run_training

if TYPE_CHECKING:
    from models.training.engine import Progress

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
    flip: Annotated[bool, typer.Option(help="Mirror images; not for letters and digits.")] = True,
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
) -> None:
    """Train a classifier on folders by class.

    What is left of an interrupted run goes on with the same command. The best start for few images is
    --freeze-backbone; with more, leave it out.
    """
    name = name or _name_after(data, model)

    def train(report: Callable[[Progress], None]) -> Path:
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
        )
        return train_classifier(options, report)

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
    classes: Annotated[
        str | None, typer.Option(metavar="A,B,…", help="Categories to find; by default all of the first folder.")
    ] = None,
    start: Annotated[
        str, typer.Option(metavar="WEIGHTS", help="imagenet, none, or a model of the catalog.")
    ] = "imagenet",
    freeze: Annotated[
        Literal["none", "filters", "backbone"],
        typer.Option(help="What of an EfficientNet-Lite0 backbone keeps its weights."),
    ] = "filters",
    size: Annotated[
        int, typer.Option(min=32, metavar="PIXELS", help="Longest side of the photos, a multiple of 32.")
    ] = 416,
    early_size: Annotated[
        int | None,
        typer.Option(min=32, metavar="PIXELS", help="That of all but the last epochs; by default 85 % of --size."),
    ] = None,
    closing_epochs: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Last epochs, at full size and without mosaics; by default a quarter."),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, metavar="N", help="Passes over the photos.")] = 30,
    batch_size: _BatchSize = 16,
    learning_rate: Annotated[float, typer.Option(min=1e-9, metavar="RATE", help="The greatest.")] = 1.5e-3,
    evaluate_every: Annotated[int, typer.Option(min=1, metavar="N", help="Epochs between two evaluations.")] = 5,
    name: _Name = None,
    output: _Output = Path("trained"),
    device: _Device = "cpu",
    precision: _Precision = "auto",
    seed: _Seed = 0,
    licence: _Licence = "as the data allows",
) -> None:
    """Train a detector on photos with boxes.

    What is left of an interrupted run goes on with the same command.
    """
    name = name or _name_after(data[0], model)

    def train(report: Callable[[Progress], None]) -> Path:
        from models.detection.architectures import known_detectors
        from models.training.detector import DetectorSettings
        from models.training.detector_run import DetectorOptions, train_detector
        from models.training.engine import Schedule

        if model not in known_detectors():
            raise no_such_model(model, known_detectors())
        settings = DetectorSettings(
            side=size,
            early_side=early_size or max(_SIDE_MULTIPLE, round(_EARLY_SHARE * size / _SIDE_MULTIPLE) * _SIDE_MULTIPLE),
            closing_epochs=round(_CLOSING_SHARE * epochs) if closing_epochs is None else closing_epochs,
            epochs=epochs,
            batch_size=batch_size,
            seed=seed,
        )
        options = DetectorOptions(
            architecture=model,
            data=tuple(data),
            output=output,
            name=name,
            classes=tuple(part.strip() for part in classes.split(",")) if classes else None,
            start=start,
            freeze=freeze,
            device=device,
            precision=precision,
            settings=settings,
            schedule=Schedule(epochs=epochs, learning_rate=learning_rate, evaluate_every=evaluate_every),
            licence=licence,
        )
        return train_detector(options, report)

    run_training(train, name, output, "detect")


def _name_after(data: Path, model: str) -> str:
    """`flowers` and `torchvision/resnet18` to `flowers-resnet18`."""
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{data.resolve().name}-{model.rpartition('/')[2]}")
    return words.strip("-._") or "model"

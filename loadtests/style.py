"""Style transfer by the fast network and by Gatys' optimisation: perceptual losses, and the time of a photo.

    python -m loadtests.style --data person

The tables of docs/experimental.md. `--data` is the folder that the network learned from: its held-out photos are
measured, as 8-bit pictures at up to `--size` pixels, against the style picture of the network's card. The first of them
are optimised, too. Time is CPU time on one thread for a 512 x 512 photo, from the file to pixels. It takes about five
minutes.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from PIL import Image

from loadtests.machine import describe
from models.catalog.loading import load
from models.datasets.samples import DatasetError
from models.drawing.picture import encode
from models.imaging.decoding import decode
from models.runtime import Runtime
from models.stylization.adapter import Stylizer
from models.stylization.gatys import StyleOptimisation, StyleSettings
from models.stylization.perceptual import LossWeights, PerceptualLoss, open_features
from models.stylization.photos import STAINED_GLASS, read_style, reduced
from models.training.style_photos import split_photos

PHOTO: Final = Path(__file__).parents[1] / "docs" / "images" / "astronaut.jpg"
"""The 512 x 512 photo that is timed."""
RUNS: Final = 9
"""Of which the median time is taken; two more come first."""

Pixels = NDArray[np.uint8]
Way = Callable[[Pixels], Pixels]
"""From a photo to a picture of its size, (H, W, 3) uint8 RGB."""


@dataclass(frozen=True)
class Row:
    """Losses of one way to make pictures, means over photos.

    Attributes:
        way: What made the pictures.
        photos: How many.
        content, style, variation: Parts of the loss, see `models.stylization.perceptual.PerceptualLoss`.
        total: Their weighted sum.
    """

    way: str
    photos: int
    content: float
    style: float
    variation: float
    total: float


def loss_row(way: str, make: Way, photos: Sequence[Pixels], loss: PerceptualLoss) -> Row:
    """Makes the pictures of photos and measures them."""
    found = [_losses(loss, photo, make(photo)) for photo in photos]
    content, style, variation, total = (float(value) for value in np.mean(found, axis=0))
    return Row(way, len(photos), content, style, variation, total)


@torch.inference_mode()
def _losses(loss: PerceptualLoss, photo: Pixels, picture: Pixels) -> list[float]:
    found = loss(_tensor(picture), loss.content_of(_tensor(photo)))
    return [float(part) for part in (found.content, found.style, found.variation, found.total)]


def _tensor(pixels: Pixels) -> torch.Tensor:
    return torch.tensor(pixels).permute(2, 0, 1)[None].float() / 255


def by_network(stylizer: Stylizer) -> Way:
    """The way of a fast network, through the adapter that serves it."""
    return lambda photo: stylizer.predict([encode(Image.fromarray(photo), "png")])[0].pixels


def by_optimisation(style: Pixels, settings: StyleSettings) -> Way:
    """The way of `tapetum stylize`, in this process."""
    return lambda photo: StyleOptimisation(photo, style, settings).advance(settings.steps).pixels


def cpu_s(stylize: Callable[[bytes], object], runs: int, warm_ups: int) -> float:
    """Median CPU seconds of stylizing the photo that is timed."""
    data = PHOTO.read_bytes()
    spent: list[float] = []
    for _ in range(warm_ups + runs):
        started_at = time.process_time()
        stylize(data)
        spent.append(time.process_time() - started_at)
    return statistics.median(spent[warm_ups:])


def times(model: str, optimise: Way) -> dict[str, float]:
    """CPU seconds of one 512 x 512 photo, by what stylizes it."""
    served = _stylizer(model, Runtime(num_threads=1))
    plain = _stylizer(model, Runtime(num_threads=1, backend="torch", precision="fp32"))
    executor = f"{served.runtime.backend} in {served.runtime.precision}"
    return {
        f"`{model}`, {executor}, as served on this machine": cpu_s(lambda data: served.predict([data]), RUNS, 2),
        f"`{model}`, torch in fp32": cpu_s(lambda data: plain.predict([data]), RUNS, 2),
        "Gatys' optimisation": cpu_s(lambda data: optimise(decode(data).pixels), 1, 0),
    }


def _stylizer(model: str, runtime: Runtime) -> Stylizer:
    stylizer: Any = load(model, runtime)
    if not isinstance(stylizer, Stylizer):
        raise typer.BadParameter(f"{model} is no stylizer")
    return stylizer


def main(
    data: Annotated[Path, typer.Option(metavar="FOLDER", help="The photos that the network learned from.")],
    model: Annotated[str, typer.Option(metavar="NAME", help="A stylizer of the catalog.")] = "style-stained-glass",
    style: Annotated[
        str | None, typer.Option(metavar="FILE", help="The style picture; by default that of the card, by name.")
    ] = None,
    size: Annotated[int, typer.Option(min=64, help="Long side of the measured photos in pixels, at most.")] = 384,
    optimised: Annotated[int, typer.Option(min=0, metavar="N", help="Photos that are optimised.")] = 2,
    steps: Annotated[int, typer.Option(min=1, metavar="N", help="Steps of the optimisation.")] = 300,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the figures as JSON, too.")] = None,
) -> None:
    """Measure a fast style network beside the photos themselves and Gatys' optimisation."""
    torch.set_num_threads(1)
    machine = describe()
    stylizer = _stylizer(model, Runtime(num_threads=1))
    card = stylizer.entry.training
    weights = LossWeights(**card.get("loss_weights", {}))
    style = style or str(card.get("style", ""))
    if style != STAINED_GLASS and not Path(style).is_file():
        raise typer.BadParameter(f"{style or 'the style picture'}: no such file; name it by --style")
    try:
        photos = [reduced(decode(path.read_bytes()).pixels, size) for path in split_photos(data)[1]]
    except DatasetError as error:
        raise typer.BadParameter(str(error)) from None
    pixels = read_style(style, int(card.get("style_size", 256)))
    settings = StyleSettings(steps=steps, weights=weights)
    loss = PerceptualLoss(open_features(settings.features), _tensor(pixels), weights)
    optimise = by_optimisation(pixels, settings)
    print(f"{machine['cpu']}, one thread\n\n| pictures | photos | content | style | variation | total |")
    print("| --- | --- | --- | --- | --- | --- |")
    rows: list[Row] = []
    for way, make, measured in (
        ("the photos themselves", lambda photo: photo, photos),
        (f"`{model}`", by_network(stylizer), photos),
        (f"`{model}`", by_network(stylizer), photos[:optimised]),
        (f"Gatys, {steps} steps", optimise, photos[:optimised]),
    ):
        if measured:
            row = loss_row(way, make, measured, loss)
            rows.append(row)
            parts = f"{row.content:.3f} | {row.style:.4f} | {row.variation:.4f} | {row.total:.2f}"
            print(f"| {row.way} | {row.photos} | {parts} |", flush=True)
    print("\n| 512 x 512 photo | CPU seconds |\n| --- | --- |")
    found = times(model, optimise)
    for way, seconds in found.items():
        print(f"| {way} | {seconds:.3g} |", flush=True)
    if output is not None:
        document = {"machine": machine, "losses": [asdict(row) for row in rows], "cpu_s": found}
        output.write_text(json.dumps(document, indent=2))


if __name__ == "__main__":
    typer.run(main)

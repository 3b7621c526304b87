"""`tapetum explain layers`: the layers of a network, its first filters, and the feature maps of a photo."""

from __future__ import annotations

import json
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.console import CommandError, Screen, printable
from services.cli.layer_table import layer_fields, layer_table, totals
from services.cli.sources import STDIN, ImageSource, UnreadableSource

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from models.explaining.layers import Layer
    from models.explaining.plain_model import PlainModel


def layers(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model name, from `tapetum models list`.")],
    photo: Annotated[
        str | None, typer.Argument(metavar="[IMAGE]", help="A photo for --layer, or - for stdin.", show_default=False)
    ] = None,
    layer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Draw the feature maps of this layer for the photo, with --save.")
    ] = None,
    call: Annotated[
        int, typer.Option(min=1, metavar="N", help="Which of several calls of the layer, such as one for each stride.")
    ] = 1,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Save pictures: the filters of the first convolution, and with --layer feature maps."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line for each layer.")] = False,
) -> None:
    """List the layers of a model's network: shapes, windows, parameters, and receptive fields.

    Shapes are those of the largest input, or with a photo those of its own. The receptive field is what one unit of the
    output can depend on, in pixels of the network's input, and the stride is the distance of two neighbours'.
    """
    if layer is not None and (photo is None or save is None):
        raise typer.BadParameter("--layer draws the feature maps of a photo; name a photo, and a folder with --save")
    wanted = None if layer is None or photo is None else _Maps(photo, layer, call)
    screen = Screen()
    data = None if photo is None else _read(photo)
    plain = _loaded(screen, model)
    with screen.err.status(f"running {plain.adapter.entry.name}"):
        image = _input(plain, data)
        from models.explaining.layers import watched_layers
        from models.explaining.region_layers import region_layers

        found = [*watched_layers(plain.network.modules, image), *region_layers(plain.adapter)]
        pictures = {} if save is None else _pictures(plain, found, image, wanted)
    if save is not None:
        saved = [_saved(picture, save, stem) for stem, picture in pictures.items()]
        screen.err.print(*(f"→ {printable(path)}" for path in saved), sep="\n", highlight=False, soft_wrap=True)
    if as_json:
        for one in found:
            print(json.dumps(one.to_dict()))
    elif screen.out.is_terminal:
        screen.out.print(layer_table(found))
        screen.err.print(totals(plain.adapter.entry.name, found, image.shape[1:]), style="dim", soft_wrap=True)
    else:
        for one in found:
            print("\t".join(layer_fields(one)))


def _read(photo: str) -> bytes:
    from models.imaging.decoding import MAX_BYTES

    try:
        return ImageSource(photo).read(MAX_BYTES)
    except UnreadableSource as error:
        raise CommandError(f"{photo}: {error}") from None


def _loaded(screen: Screen, name: str) -> PlainModel:
    from models.catalog.lookup import find
    from models.entries import ONNX, LetterboxPreprocessing, Preprocessing
    from services.cli.loading import download_bar

    entry = find(name)
    if entry.weights.kind == "none" or entry.architecture == ONNX:
        reason = "has no network" if entry.weights.kind == "none" else "is an ONNX file, and has no layers of torch"
        raise CommandError(f"{entry.name} {reason}")
    if not isinstance(entry.preprocessing, Preprocessing | LetterboxPreprocessing):
        raise CommandError(f"{entry.name} is no model of images")
    with screen.err.status(f"loading {entry.name}"):
        from models.explaining.plain_model import load_plain
        from models.sources.weights_files import fetch
    with download_bar(screen, entry.name) as report:
        fetch(entry, report)
    with screen.err.status(f"loading {entry.name}"):
        return load_plain(name)


def _input(plain: PlainModel, photo: bytes | None) -> Tensor:
    """The network's input: of the photo, or blank and as large as it can be."""
    import numpy as np

    adapter = plain.adapter
    if photo is None:
        pixels = np.zeros((*adapter.entry.preprocessing.largest_size, 3), np.uint8)
    else:
        pixels = adapter.preprocess(adapter.decode(photo)).pixels
    return plain.network.normalised(pixels[None])


def _pictures(plain: PlainModel, found: list[Layer], image: Tensor, wanted: _Maps | None) -> dict[str, Image.Image]:
    """Pictures by the stem of their file names."""
    from models.explaining.contact_sheet import map_sheet
    from models.explaining.feature_maps import feature_maps
    from models.explaining.filters import filter_sheet, first_convolution

    network = plain.network.modules
    pictures: dict[str, Image.Image] = {}
    if (first := first_convolution(found)) is not None:
        pictures[f"{plain.adapter.entry.name.replace('/', '-')}-filters"] = filter_sheet(network, first)
    if wanted is not None:
        names = [name for name, _ in network.named_modules() if name]
        if wanted.layer not in names:
            near = get_close_matches(wanted.layer, names)
            hint = f"did you mean {' or '.join(near)}?" if near else "leave --layer out to see all"
            raise CommandError(f"{plain.adapter.entry.name} has no layer {wanted.layer!r}; {hint}", 2)
        try:
            maps = feature_maps(network, image, wanted.layer, wanted.call)
        except ValueError as error:
            raise CommandError(str(error), 2) from None
        pictures[wanted.stem] = map_sheet(maps)
    return pictures


def _saved(picture: Image.Image, folder: Path, stem: str) -> Path:
    from models.drawing.picture import encode
    from services.cli.saving import save_picture

    return save_picture(encode(picture, "png"), folder, stem, ".png")


@dataclass(frozen=True, slots=True)
class _Maps:
    """Which feature maps are wanted, and of what photo."""

    photo: str
    layer: str
    call: int

    @property
    def stem(self) -> str:
        photo = "stdin" if self.photo == STDIN else Path(self.photo).stem
        return f"{photo}-{self.layer}" + (f"-{self.call}" if self.call > 1 else "")

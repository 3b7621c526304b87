"""`tapetum explain layers`: the layers of a network, its first filters, and the feature maps of a photo."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.console import CommandError, Screen, no_such_model, printable
from services.cli.layer_table import layer_fields, layer_table, totals
from services.cli.options import ApiKey, Url
from services.cli.sources import STDIN, ImageSource, UnreadableSource

if TYPE_CHECKING:
    from torch import Tensor

    from models.explaining.network_layers import NetworkLayers
    from models.explaining.plain_model import PlainModel
    from services.cli.layer_table import Listed

TIMEOUT_S = 120.0
"""Time limit of a request; the first one waits for the server's explainer to start."""


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
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line for each layer.")] = False,
) -> None:
    """List the layers of a model's network: shapes, windows, parameters, and receptive fields.

    The model runs in this process, unless --url names a server. Shapes are those of the largest input, or with a photo
    in this process those of its own. The receptive field is what one unit of the output can depend on, in pixels of the
    network's input, and the stride is the distance of two neighbours'.
    """
    if layer is not None and (photo is None or save is None):
        raise typer.BadParameter("--layer draws the feature maps of a photo; name a photo, and a folder with --save")
    if url is not None and photo is not None and layer is None:
        raise typer.BadParameter("a server lists layers for the largest input; with --url a photo is for --layer")
    wanted = None if layer is None or photo is None else _Maps(photo, layer, call)
    screen = Screen()
    data = None if photo is None else _read(photo)
    found = _here(screen, model, data, wanted) if url is None else _there(screen, url, api_key, model, data, wanted)
    if save is not None:
        saved = [_saved(picture, save, stem) for stem, picture in found.pictures.items()]
        screen.err.print(*(f"→ {printable(path)}" for path in saved), sep="\n", highlight=False, soft_wrap=True)
    if as_json:
        for document in found.documents:
            print(json.dumps(document))
    elif screen.out.is_terminal:
        screen.out.print(layer_table(found.layers))
        screen.err.print(totals(found.model, found.layers, found.input_shape), style="dim", soft_wrap=True)
    else:
        for one in found.layers:
            print("\t".join(layer_fields(one)))


def _read(photo: str) -> bytes:
    from models.imaging.decoding import MAX_BYTES

    try:
        return ImageSource(photo).read(MAX_BYTES)
    except UnreadableSource as error:
        raise CommandError(f"{photo}: {error}") from None


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


@dataclass(frozen=True, slots=True)
class _Found:
    """The layers of a model; `documents` as JSON, `pictures` PNG files by the stems of their names."""

    model: str
    input_shape: Sequence[int]
    layers: Sequence[Listed]
    documents: Sequence[dict[str, Any]]
    pictures: dict[str, bytes]


def _filters_stem(model: str) -> str:
    return f"{model.replace('/', '-')}-filters"


def _here(screen: Screen, model: str, data: bytes | None, wanted: _Maps | None) -> _Found:
    plain = _loaded(screen, model)
    name = plain.adapter.entry.name
    with screen.err.status(f"running {name}"):
        from models.drawing.picture import encode
        from models.explaining.network_layers import blank_input, network_layers

        if data is None:
            image = blank_input(plain, plain.adapter.entry.preprocessing.largest_size)
        else:
            image = plain.network.normalised(plain.adapter.preprocess(plain.adapter.decode(data)).pixels[None])
        found: NetworkLayers = network_layers(plain, image)
        pictures: dict[str, bytes] = {}
        if found.filters is not None:
            pictures[_filters_stem(name)] = encode(found.filters.image, "png")
        if wanted is not None:
            pictures[wanted.stem] = _maps(plain, image, wanted)
    return _Found(name, found.input_shape, found.layers, [layer.to_dict() for layer in found.layers], pictures)


def _loaded(screen: Screen, name: str) -> PlainModel:
    from models.catalog.lookup import find
    from models.errors import CannotExplain
    from services.cli.loading import download_bar

    entry = find(name)
    with screen.err.status(f"loading {entry.name}"):
        from models.explaining.plain_model import load_plain, require_layers
        from models.sources.weights_files import fetch
    try:
        require_layers(entry)
    except CannotExplain as error:
        raise CommandError(error.message) from None
    with download_bar(screen, entry.name) as report:
        fetch(entry, report)
    with screen.err.status(f"loading {entry.name}"):
        return load_plain(name)


def _maps(plain: PlainModel, image: Tensor, wanted: _Maps) -> bytes:
    """The feature maps of a layer as a PNG file."""
    from models.drawing.picture import encode
    from models.explaining.contact_sheet import map_sheet
    from models.explaining.feature_maps import feature_maps

    network = plain.network.modules
    names = [name for name, _ in network.named_modules() if name]
    if wanted.layer not in names:
        near = get_close_matches(wanted.layer, names)
        hint = f"did you mean {' or '.join(near)}?" if near else "leave --layer out to see all"
        raise CommandError(f"{plain.adapter.entry.name} has no layer {wanted.layer!r}; {hint}", 2)
    try:
        return encode(map_sheet(feature_maps(network, image, wanted.layer, wanted.call)).image, "png")
    except ValueError as error:
        raise CommandError(str(error), 2) from None


def _there(
    screen: Screen, url: str, api_key: str | None, model: str, data: bytes | None, wanted: _Maps | None
) -> _Found:
    from services.client import Client, TapetumError

    try:
        client = Client(url, api_key=api_key, timeout_s=TIMEOUT_S)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    pictures: dict[str, bytes] = {}
    with client, screen.err.status(f"asking {url}"):
        try:
            found = client.layers(model)
            if found.filters is not None:
                pictures[_filters_stem(found.model)] = found.filters.picture
            if wanted is not None and data is not None:
                answer = client.explain(data, model=model, method="features", layer=wanted.layer, call=wanted.call)
                assert answer.sheet is not None
                pictures[wanted.stem] = answer.sheet.picture
        except TapetumError as error:
            if error.code == "unknown_model":
                raise no_such_model(model, error.details.get("known", ())) from None
            raise CommandError(error.message, 2 if error.status == 422 else 1) from None
    return _Found(found.model, found.input_shape, found.layers, found.document["layers"], pictures)


def _saved(picture: bytes, folder: Path, stem: str) -> Path:
    from services.cli.saving import save_picture

    return save_picture(picture, folder, stem, ".png")

"""`tapetum generate`: images of a class from noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.text import Text

from services.cli.console import CommandError, Screen, closest, no_such_model, printable
from services.cli.loading import RuntimeOptions, find_model, load_model
from services.cli.options import ApiKey, Device, Place, Url
from services.cli.picture_files import check_suffix, replace_picture, save_pixels

if TYPE_CHECKING:
    from models.parameters import GenerationParameters
    from models.predictions import Picture

GeneratorName = Annotated[
    str | None, typer.Option("--model", metavar="NAME", help="Generator; by default gan-digits.", show_default=False)
]
Truncation = Annotated[
    float | None,
    typer.Option(
        metavar="0…1", help="Scale of the noise: below 1, images are more typical and less diverse; 1 by default."
    ),
]


def images(
    wanted_class: Annotated[
        str | None,
        typer.Option("--class", metavar="CLASS", help="Name or id of the class; by default the seed draws one each."),
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Seed of the noise, from 0: the same seed, the same image.")
    ] = 0,
    count: Annotated[int, typer.Option(metavar="N", help="How many images, to 64: several are one grid.")] = 1,
    truncation: Truncation = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The file to write: .png, .jpg or .webp; by default a new MODEL-CLASS-SEED.png in this folder.",
        ),
    ] = None,
    each: Annotated[
        Path | None,
        typer.Option("--each", metavar="DIR", help="Save every image as a PNG of its own instead of the grid."),
    ] = None,
    model: GeneratorName = None,
    url: Url = None,
    api_key: ApiKey = None,
    device: Device = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object: the parameters and the files.")
    ] = False,
) -> None:
    """Generate images of a class from noise, with a conditional DCGAN. Experimental.

    The model runs in this process, unless --url names a server. The same class and seed give the same image, and image
    k of a seed is the same for every --count.
    """
    if output is not None and each is not None:
        raise typer.BadParameter("--output names one file and --each a folder: give one of them")
    if output is not None:
        check_suffix(output)
    place = Place(url, api_key, device, None)
    asked = {"seed": seed, "count": count, "truncation": truncation}
    screen = Screen()
    if place.url is None:
        made = _made_here(screen, model, wanted_class, asked, place.device)
    else:
        made = _made_there(place.url, place.api_key, model, wanted_class, asked)
    names = {made.class_names[class_id] for class_id in made.picture.class_ids}
    shown = names.pop() if wanted_class is not None and len(names) == 1 else "any"
    saved = _saved(made.picture, output, each, f"{made.model}-{shown}-{seed}")
    if as_json:
        document = {"model": made.model, "version": made.version, "seed": seed, "count": count}
        document |= {"class_ids": made.picture.class_ids, "saved": [printable(path) for path in saved]}
        screen.out.print(orjson.dumps(document).decode(), soft_wrap=True, markup=False)
        return
    for path in saved:
        screen.out.print(Text(printable(path)), soft_wrap=True)


@dataclass(frozen=True, slots=True)
class _Made:
    """The images of a command: model, version, grid, and the names of their classes by id."""

    model: str
    version: str
    picture: Picture
    class_names: Mapping[int, str]


def _made_here(
    screen: Screen, model: str | None, wanted_class: str | None, asked: Mapping[str, Any], device: str | None
) -> _Made:
    entry = find_model("generation", model)
    class_names = entry.class_names or ()
    parameters = _parameters(wanted_class, asked, entry.defaults, class_names)
    generator: Any = load_model(screen, entry, RuntimeOptions(device or "cpu"))
    return _Made(entry.name, entry.version, generator.generate(parameters), dict(enumerate(class_names)))


def _made_there(
    url: str, api_key: str | None, model: str | None, wanted_class: str | None, asked: Mapping[str, Any]
) -> _Made:
    from services.client import Client, TapetumError

    try:
        client = Client(url, api_key=api_key)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    given: dict[str, Any] = {name: value for name, value in {**asked, "model": model}.items() if value is not None}
    try:
        with client:
            answer = client.generate(wanted_class, **given)
    except TapetumError as error:
        if model is not None and error.code == "unknown_model":
            raise no_such_model(model, error.details.get("known", ())) from None
        raise CommandError(error.message, 2 if error.status == 422 else 1) from None
    import numpy as np

    from models.predictions import Picture

    rows = answer.predictions
    class_names = {row.class_id: row.class_name or "" for row in rows if row.class_id is not None}
    class_ids = [row.class_id for row in rows if row.class_id is not None]
    picture = Picture.grid(np.stack([np.asarray(row.to_image()) for row in rows]), class_ids)
    return _Made(answer.model, answer.version, picture, class_names)


def _parameters(
    wanted_class: str | None, asked: Mapping[str, Any], defaults: Mapping[str, Any], class_names: Sequence[str]
) -> GenerationParameters:
    from models.parameters import GenerationParameters
    from services.kinds.completion import UnknownClasses, complete, find_classes

    try:
        found = None if wanted_class is None else find_classes((wanted_class,), class_names) or (0,)
        class_id = found[0] if found else None
        parameters = complete("generation", {**asked, "class_id": class_id}, defaults, class_names)
    except UnknownClasses as error:
        meant = [name for one in error.unknown for name in closest(str(one), error.known, 1)]
        raise CommandError(f"{error}{f'; did you mean {meant[0]}?' if meant else ''}", 2) from None
    except ValueError as error:
        raise CommandError(str(error), 2) from None
    assert isinstance(parameters, GenerationParameters)
    return parameters


def _saved(picture: Picture, output: Path | None, each: Path | None, stem: str) -> list[Path]:
    if each is not None:
        width = len(str(picture.count))
        names = [f"{stem}-{number:0{width}}" for number in range(1, picture.count + 1)]
        return [save_pixels(pixels, each, name) for name, pixels in zip(names, picture.images(), strict=True)]
    if output is None:
        return [save_pixels(picture.pixels, Path(), stem)]
    replace_picture(picture.pixels, output)
    return [output]

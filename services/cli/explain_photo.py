"""`tapetum explain IMAGE…`: which parts of images count towards a prediction."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
import typer
from rich.text import Text

from services.cli.console import CommandError, Screen, no_such_model, printable
from services.cli.options import ApiKey, AsJson, Images, Url
from services.cli.sources import STDIN, ImageSource, UnreadableSource, find_sources

if TYPE_CHECKING:
    from models.explaining.explanation import Explanation, Question

MAX_BYTES = 256 * 2**20
"""Larger files are not read."""
TIMEOUT_S = 120.0
"""Time limit of a request; the first one waits for the server's explainer to start."""

ExplainedModel = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", help="Model; by default efficientnet-lite0, or the server's first one."),
]


def photo(
    images: Images,
    model: ExplainedModel = None,
    method: Annotated[
        Literal["gradcam", "occlusion", "features"],
        typer.Option(help="By gradients, by covering parts of the image, or the maps of a layer themselves."),
    ] = "gradcam",
    wanted_class: Annotated[
        str | None, typer.Option("--class", metavar="CLASS", help="Name or id of the class; the best one by default.")
    ] = None,
    box: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Object to explain: its index in what the model detects.")
    ] = None,
    layer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Layer whose maps are used; the one that suits by default.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Save each map, drawn over its image, in this folder.")
    ] = None,
    heatmap: Annotated[bool, typer.Option("--heatmap", help="Save the map alone, not over the image.")] = False,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Explain predictions: show which parts of each image count towards a class or a box.

    The model runs in this process, unless --url names a server. An image that cannot be read gets an error in its
    place; the others get their explanations, and the status is 1.
    """
    if box is not None and wanted_class is not None:
        raise typer.BadParameter("--box says which object, and so its class: leave --class out")
    if method == "features" and (box is not None or wanted_class is not None):
        option = "--class" if box is None else "--box"
        raise typer.BadParameter(f"leave {option} out with --method features, which shows maps of the image")
    screen, sources = Screen(), find_sources(images)
    if url is None:
        found = _here(screen, sources, model, (method, wanted_class, layer), box)
    else:
        parameters = {"model": model, "method": method, "class": wanted_class, "box": box, "layer": layer}
        found = _there(sources, url, api_key, parameters)
    failures = 0
    for source, data, explained in found:
        picture = None
        if not isinstance(explained, str) and save is not None:
            picture = _saved(explained, data, save, source, heatmap=heatmap)
        failures += isinstance(explained, str)
        _show(screen, source, explained, picture, as_json=as_json)
    raise typer.Exit(1 if failures else 0)


_Found = Iterator[tuple[ImageSource, bytes, "Explanation | str"]]
"""Each image, its bytes, and its explanation or why there is none."""


def _here(
    screen: Screen,
    sources: list[ImageSource],
    model: str | None,
    asked: tuple[Any, str | None, str | None],
    box: int | None,
) -> _Found:
    with screen.err.status("loading the model"):
        from models.catalog.version_names import join_name
        from models.errors import CannotExplain, ImageError
        from models.explaining.explaining import Explainer
        from models.explaining.explanation import WITH_BOXES, Question
        from services.cli.loading import FAVOURITES

        name = model or FAVOURITES["classification"]
        try:
            explainer = Explainer(name)
        except CannotExplain as error:
            raise CommandError(error.message, 2) from None
    method, wanted_class, layer = asked
    adapter: Any = None
    if box is not None:
        if explainer.entry.kind not in WITH_BOXES:
            message = f"--box is for detectors and instance segmenters: leave it out for {explainer.entry.name}"
            raise CommandError(message, 2)
        with screen.err.status(f"loading {name}"):
            adapter = _detector(join_name(explainer.entry.name, explainer.entry.version))
    for source in sources:
        data = b""
        try:
            data = source.read(MAX_BYTES)
            target = None if box is None else _target(adapter, data, box)
            question: Question = Question(method, wanted_class, target, layer)
            yield source, data, explainer.explain(data, question)
        except CannotExplain as error:
            if error.parameter in ("model", "method", "class", "layer"):
                raise CommandError(error.message, 2) from None
            yield source, data, error.message
        except (ImageError, UnreadableSource) as error:
            yield source, data, str(error)


def _detector(name: str) -> Any:
    """The model as it is served, whose objects `--box` counts."""
    from models.catalog.loading import load

    return load(name)


def _target(adapter: Any, data: bytes, box: int) -> Any:
    from models.errors import CannotExplain
    from models.explaining.explanation import Target

    (found,) = adapter.predict([data])
    if box >= len(found.scores):
        raise CannotExplain(f"--box {box} is out of range: {len(found.scores)} objects are detected", "box")
    x_min, y_min, x_max, y_max = found.boxes[box].tolist()
    return Target((x_min, y_min, x_max, y_max), int(found.class_ids[box]))


def _there(sources: list[ImageSource], url: str, api_key: str | None, parameters: dict[str, Any]) -> _Found:
    from services.client import Client, TapetumError, calls

    try:
        client = Client(url, api_key=api_key, timeout_s=TIMEOUT_S)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    with client:
        for source in sources:
            data = b""
            try:
                data = source.read(MAX_BYTES)
                yield source, data, _explanation_of(client.send(calls.explain(data, parameters)))
            except UnreadableSource as error:
                yield source, data, str(error)
            except TapetumError as error:
                name = parameters["model"]
                if name is not None and error.code == "unknown_model":
                    raise no_such_model(name, error.details.get("known", ())) from None
                if error.status in (400, 413, 415) or error.details.get("parameter") in ("box", "image"):
                    yield source, data, error.message
                    continue
                raise CommandError(error.message, 2 if error.status == 422 else 1) from None


def _explanation_of(answer: Any) -> Explanation:
    """The answer of a server as the models make it."""
    from io import BytesIO

    import numpy as np
    from PIL import Image

    from models.explaining.explanation import Explanation, Heat, Seen, Sheet

    heat, sheet = answer.heat, answer.sheet
    return Explanation(
        model=answer.model,
        version=answer.version,
        task=answer.task,
        method=answer.method,
        image_size=answer.image_size,
        layer=answer.layer,
        layers=answer.layers,
        class_id=answer.class_id,
        class_name=answer.class_name,
        score=answer.score,
        box=answer.box,
        heat=None if heat is None else Heat(np.array(heat.values, np.float32), heat.area),
        sheet=None
        if sheet is None
        else Sheet(
            np.asarray(Image.open(BytesIO(sheet.picture)).convert("RGB")),
            sheet.shown,
            sheet.channels,
            sheet.field_size,
            sheet.field_stride,
            sheet.map_size,
            sheet.tile_size,
            sheet.tiles,
            None if sheet.rows is None or sheet.columns is None else Seen(sheet.rows, sheet.columns),
        ),
    )


def _saved(explanation: Explanation, data: bytes, folder: Path, source: ImageSource, *, heatmap: bool) -> Path:
    from services.answers.explanation import draw_explanation
    from services.cli.saving import save_picture

    height, width = explanation.image_size
    view = "heatmap" if heatmap else "overlay"
    picture = draw_explanation(explanation, data, view, max_bytes=len(data), max_pixels=height * width)
    stem = "stdin" if source.name == STDIN else Path(source.name).stem
    return save_picture(picture, folder, stem, ".png")


def _show(
    screen: Screen, source: ImageSource, explained: Explanation | str, picture: Path | None, *, as_json: bool
) -> None:
    name = printable(source.name)
    if as_json:
        from services.answers.explanation import describe_explanation

        document = {"error": explained} if isinstance(explained, str) else describe_explanation(explained)
        saved = {} if picture is None else {"saved": printable(picture)}
        screen.out.print(orjson.dumps({"path": name, **document, **saved}).decode(), soft_wrap=True, markup=False)
        return
    if isinstance(explained, str):
        screen.out.print(Text.assemble((f"{name}  ", "bold"), ("error: ", "red"), printable(explained)), soft_wrap=True)
        return
    screen.out.print(Text.assemble((name, "bold"), f"  {_line(explained)}"), soft_wrap=True)
    if picture is not None:
        screen.out.print(f"  saved {printable(picture)}", soft_wrap=True, markup=False)


def _line(explanation: Explanation) -> str:
    at = f" at {explanation.layer}" if explanation.layer else ""
    if explanation.sheet is not None:
        sheet = explanation.sheet
        seen = "" if sheet.field_size is None else f", each cell sees {sheet.field_size} pixels"
        return f"{sheet.shown} of {sheet.channels} maps{at}{seen}"
    box = "" if explanation.box is None else f" in [{', '.join(f'{edge:.0f}' for edge in explanation.box)}]"
    assert explanation.class_name is not None and explanation.score is not None and explanation.heat is not None
    rows, columns = explanation.heat.values.shape
    row, column = divmod(int(explanation.heat.values.argmax()), columns)
    left, top, right, bottom = explanation.heat.area
    x, y = left + (column + 0.5) * (right - left) / columns, top + (row + 0.5) * (bottom - top) / rows
    what = f"{printable(explanation.class_name)} {explanation.score:.3f}{box}"
    return f"{what}: most at ({x:.0f}, {y:.0f}) by {explanation.method}{at}"

"""Catalog entries of timm's published classifiers (https://github.com/huggingface/pytorch-image-models), without timm.

``models/weights/timm.json`` has a row for every set of weights, which ``python -m models.catalog.timm_entries`` reads
off the installed timm; a test keeps the two equal. So a process that must stay free of torch, such as the gateway,
knows every model, and timm is installed only where one of them runs.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from msgspec import convert

from models.entries import CatalogEntry, Interpolation, Preprocessing, WeightsKind, WeightsSource

PATH: Final = Path(__file__).parents[1] / "weights" / "timm.json"
PREFIX: Final = "timm/"
_NO_TAG: Final = "1"


@dataclass(frozen=True)
class TimmWeights:
    """A set of weights, as a row of the manifest, which leaves out what is as usual.

    Attributes:
        name: As timm calls it: ``<architecture>.<tag>``, or the architecture alone.
        resize, crop, interpolation, mean, std: See `models.entries.Preprocessing`.
        class_count: Number of classes.
        licence: Of the weights.
        location: URL of the file, or its repository on Hugging Face's hub; None where that has the same name.
    """

    name: str
    resize: int
    crop: int
    interpolation: Interpolation = "bicubic"
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    class_count: int = 1000
    licence: str = "apache-2.0"
    location: str | None = None

    @property
    def architecture(self) -> str:
        """The name without the tag."""
        return self.name.partition(".")[0]


def find_timm(name: str) -> CatalogEntry | None:
    """Looks up the entry of a set of weights.

    Args:
        name: ``timm/<architecture>``, with the weights that timm recommends, or ``timm/<architecture>.<tag>``; also
            names of earlier versions of timm.

    Returns:
        The entry under that name, its class names left out; None where there is no such model.
    """
    if not name.startswith(PREFIX):
        return None
    asked = name.removeprefix(PREFIX)
    by_name, aliases = _rows()
    found = by_name.get(aliases.get(asked, asked))
    return None if found is None else replace(_entry_of(found), name=name)


def timm_names() -> tuple[str, ...]:
    """Lists every set of weights by its full name."""
    return tuple(f"{PREFIX}{name}" for name in dict.fromkeys(row.name for row in _rows()[0].values()))


def write(rows: list[TimmWeights], aliases: Mapping[str, str]) -> None:
    """Replaces the manifest, one row a line.

    Args:
        rows: Of every architecture the recommended weights come first.
        aliases: Names of earlier versions of timm, and the current ones.
    """
    lines = ",\n".join(json.dumps(_unusual(row)) for row in rows)
    others = ",\n".join(f"{json.dumps(old)}: {json.dumps(new)}" for old, new in sorted(aliases.items()))
    PATH.write_text(f'{{"weights": [\n{lines}\n],\n"aliases": {{\n{others}\n}}}}\n', encoding="utf-8")


@cache
def _rows() -> tuple[dict[str, TimmWeights], Mapping[str, str]]:
    """Rows by full name and, the recommended ones, by architecture; and earlier names."""
    document: Any = json.loads(PATH.read_text(encoding="utf-8"))
    rows = convert(document["weights"], list[TimmWeights])
    by_name = {row.name: row for row in rows}
    for row in rows:
        by_name.setdefault(row.architecture, row)
    return by_name, document["aliases"]


def _unusual(row: TimmWeights) -> dict[str, Any]:
    usual = {field.name: field.default for field in fields(TimmWeights)}
    return {name: value for name, value in asdict(row).items() if value != usual[name]}


def _entry_of(row: TimmWeights) -> CatalogEntry:
    location = row.location or f"{PREFIX}{row.name}"
    kind: WeightsKind = "url" if "://" in location else "hugging_face"
    page = location if kind == "url" else f"https://huggingface.co/{location}"
    return CatalogEntry(
        name=f"{PREFIX}{row.name}",
        version=row.name.partition(".")[2] or _NO_TAG,
        task="classification",
        architecture=row.name,
        weights=WeightsSource(kind, location, None, row.licence, f"timm; {page}"),
        preprocessing=Preprocessing(row.resize, row.crop, row.interpolation, row.mean, row.std),
        class_count=row.class_count,
        licence="Apache-2.0",
        accuracy=(),
        description=f"timm's {row.architecture} for the {row.class_count:,} classes of ImageNet.",
    )

"""Content negotiation: chooses the media type of a response by the `Accept` header.

Source: RFC 9110, sections 12.4.2 and 12.5.1, https://www.rfc-editor.org/rfc/rfc9110
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from models.drawing.picture import PictureFormat
from services.errors import NotAcceptable

Rendering = PictureFormat | Literal["cutout"]
"""Formats of a rendered response; a cut-out is always PNG, as JPEG has no transparency."""

PICTURES: Final[Mapping[str, PictureFormat]] = {"image/jpeg": "jpeg", "image/png": "png"}
"""Media types of pictures, in the order of preference at equal weight."""
ANSWERS: Final = ("application/json", *PICTURES)
"""All media types of a response, likewise."""
MADE: Final[Mapping[str, PictureFormat]] = {"image/png": "png", "image/jpeg": "jpeg", "image/webp": "webp"}
"""Media types of images that models make, likewise; JSON comes after them."""

MAX_RANGES: Final = 64
"""The most elements of an `Accept` header that are parsed."""

REMEMBERED: Final = 64
"""Headers whose choice is remembered: clients send few different ones, of at most 32 KiB."""

_WEIGHT: Final = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One element of an `Accept` header.

    Attributes:
        type: Like `image`; `*` is any.
        subtype: Like `png`; `*` is any.
        weight: Quality value `q`, 0 (not acceptable) to 1.
    """

    type: str
    subtype: str
    weight: float

    def specificity(self, media_type: str) -> int:
        """Specificity of the match with `media_type`: 2 exact, 1 by type (`image/*`), 0 by `*/*`; -1 without a
        match."""
        kind, _, name = media_type.partition("/")
        if (self.type, self.subtype) == (kind, name):
            return 2
        if (self.type, self.subtype) == (kind, "*"):
            return 1
        return 0 if (self.type, self.subtype) == ("*", "*") else -1


def parse_accept(header: str) -> list[MediaRange]:
    """Parse an `Accept` header; malformed elements are skipped, and so are those after `MAX_RANGES`."""
    ranges: list[MediaRange] = []
    for element in header.lower().split(",", MAX_RANGES)[:MAX_RANGES]:
        media_type, *parameters = (part.strip() for part in element.split(";"))
        kind, slash, name = media_type.partition("/")
        weight = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        if kind and slash and name and _WEIGHT.fullmatch(weight):
            ranges.append(MediaRange(kind, name, float(weight)))
    return ranges


def best_of(ranges: Sequence[MediaRange], offers: Sequence[str]) -> str | None:
    """Chooses the best of the offered media types: by weight, then by specificity, then by order.

    Args:
        ranges: Elements of the `Accept` header.
        offers: Media types, preferred ones first.

    Returns:
        One of the offers, or None where none is acceptable.
    """
    best, best_rank = None, (0.0, -1)
    for offer in offers:
        matching = max(ranges, key=lambda one: one.specificity(offer), default=None)
        if matching is None or matching.specificity(offer) < 0 or not matching.weight:
            continue
        rank = (matching.weight, matching.specificity(offer))
        if rank > best_rank:
            best, best_rank = offer, rank
    return best


@lru_cache(REMEMBERED)
def choose_format(accept: str, render: bool | Literal["cutout"] | None) -> Rendering | None:
    """Chooses between JSON and a picture.

    Args:
        accept: The `Accept` header, empty where there is none.
        render: The `render` parameter, which overrides the header; None leaves the choice to the header.

    Returns:
        The format of the picture; None is JSON.

    Raises:
        NotAcceptable: only pictures in other formats are acceptable; or a cut-out is requested and PNG is not
        acceptable.
    """
    if render is False:
        return None
    ranges = parse_accept(accept)
    if render == "cutout":
        if ranges and best_of(ranges, ("image/png",)) is None:
            message = "a cut-out is a PNG file, since JPEG has no transparency: accept image/png"
            raise NotAcceptable(message, {"available": ["image/png"]})
        return "cutout"
    chosen = best_of(ranges, tuple(PICTURES) if render else ANSWERS)
    if chosen is not None:
        return PICTURES.get(chosen)
    if any(one.type == "image" and one.weight for one in ranges):
        message = f"none of the accepted media types is made here; there are {', '.join(ANSWERS)}"
        raise NotAcceptable(message, {"available": list(ANSWERS)})
    return "jpeg" if render else None


@lru_cache(REMEMBERED)
def choose_made(accept: str, wanted: PictureFormat | Literal["json"] | None) -> PictureFormat | None:
    """Chooses the format of an answer that is an image.

    Args:
        accept: The `Accept` header, empty where there is none.
        wanted: The `format` parameter, which overrides the header; None leaves the choice to the header.

    Returns:
        The format of the image, PNG without a preference; None is JSON.

    Raises:
        NotAcceptable: none of the formats is acceptable.
    """
    if wanted is not None:
        return None if wanted == "json" else wanted
    ranges = parse_accept(accept)
    if not ranges:
        return "png"
    offers = (*MADE, "application/json")
    chosen = best_of(ranges, offers)
    if chosen is None:
        message = f"none of the accepted media types is made here; there are {', '.join(offers)}"
        raise NotAcceptable(message, {"available": list(offers)})
    return MADE.get(chosen)


def accepts_json(accept: str) -> bool:
    """Whether an `Accept` header, which may be empty, allows JSON."""
    ranges = parse_accept(accept)
    return not ranges or best_of(ranges, ("application/json",)) is not None

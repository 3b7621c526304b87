"""A JSON document either becomes the object that it should be, or the place where it is wrong is named."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from models.sources.typed_json import Misfit, read_as


@dataclass(frozen=True)
class Part:
    sizes: tuple[int, int]
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Whole:
    kind: Literal["a", "b"]
    part: Part
    ratio: float
    options: Mapping[str, bool | int | str]
    anything: Any = None
    parts: tuple[Part, ...] = ()
    note: str | None = None


GOOD = {"kind": "a", "part": {"sizes": [1, 2]}, "ratio": 3, "options": {"x": True, "y": 1, "z": "one"}}


def test_a_document_becomes_what_it_says():
    whole = read_as(Whole, {**GOOD, "parts": [{"sizes": [3, 4], "names": ["n"]}], "note": "so", "anything": [None]})
    assert whole == Whole(
        "a", Part((1, 2)), 3.0, {"x": True, "y": 1, "z": "one"}, [None], (Part((3, 4), ("n",)),), "so"
    )
    assert isinstance(whole.ratio, float) and whole.options["x"] is True


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "c"}, "kind must be one of a, b"),
        ({"part": []}, "part must be an object"),
        ({"part": {}}, "part.sizes must be given"),
        ({"part": {"sizes": [1]}}, "part.sizes must be a list of 2"),
        ({"part": {"sizes": "12"}}, "part.sizes must be a list"),
        ({"part": {"sizes": [1, True]}}, "part.sizes[1] must be a whole number"),
        ({"part": {"sizes": [1, 2], "names": ["x", 3]}}, "part.names[1] must be text"),
        ({"part": {"sizes": [1, 2], "size": 1}}, "part.size must be left out: there are only sizes, names"),
        ({"ratio": "3"}, "ratio must be a number"),
        ({"ratio": True}, "ratio must be a number"),
        ({"ratio": float("nan")}, "ratio must be a finite number"),
        ({"options": {"x": 1.5}}, "options.x must be true or false or a whole number or text"),
        ({"options": 3}, "options must be an object"),
        ({"parts": [{"sizes": [1, None]}]}, "parts[0].sizes[1] must be a whole number"),
    ],
)
def test_the_place_of_a_mistake_is_named(change, message):
    with pytest.raises(Misfit) as caught:
        read_as(Whole, {**GOOD, **change})
    assert str(caught.value) == message


@pytest.mark.parametrize("document", [None, [], "x", 3])
def test_something_else_than_an_object_is_refused(document):
    with pytest.raises(Misfit, match="the document must be an object"):
        read_as(Whole, document)

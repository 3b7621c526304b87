"""A JSON document either becomes the object that it should be, or the place where it is wrong is named."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from models.sources.text_documents import convert_json


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
    shares: Mapping[str, int | float] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)


GOOD = {"kind": "a", "part": {"sizes": [1, 2]}, "ratio": 3, "options": {"x": True, "y": 1, "z": "one"}}


def test_a_document_becomes_what_it_says():
    parts = [{"sizes": [3, 4], "names": ["n"]}]
    whole = convert_json({**GOOD, "parts": parts, "note": "so", "anything": [None]}, Whole)
    assert whole == Whole(
        "a", Part((1, 2)), 3.0, {"x": True, "y": 1, "z": "one"}, [None], (Part((3, 4), ("n",)),), "so"
    )
    assert isinstance(whole.ratio, float) and whole.options["x"] is True


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "c"}, "kind: Invalid enum value 'c'"),
        ({"part": []}, "part: Expected `object`, got `array`"),
        ({"part": {}}, "part: Object missing required field `sizes`"),
        ({"part": {"sizes": [1]}}, "part.sizes: Expected `array` of length 2, got 1"),
        ({"part": {"sizes": "12"}}, "part.sizes: Expected `array`, got `str`"),
        ({"part": {"sizes": [1, True]}}, "part.sizes[1]: Expected `int`, got `bool`"),
        ({"part": {"sizes": [1, 2], "names": ["x", 3]}}, "part.names[1]: Expected `str`, got `int`"),
        ({"part": {"sizes": [1, 2], "size": 1}}, "part.size must be left out: there are only sizes, names"),
        ({"ratio": "3"}, "ratio: Expected `float`, got `str`"),
        ({"ratio": True}, "ratio: Expected `float`, got `bool`"),
        ({"ratio": float("nan")}, "ratio must be a finite number"),
        ({"ratio": 10**400}, "ratio: Number out of range"),
        ({"options": {"x": 1.5}}, "options[...]: Expected `bool | int | str`, got `float`"),
        ({"options": 3}, "options: Expected `object`, got `int`"),
        ({"shares": {"x": float("inf")}}, "shares.x must be a finite number"),
        ({"parts": [{"sizes": [1, None]}]}, "parts[0].sizes[1]: Expected `int`, got `null`"),
        ({"parts": [{"sizes": [1, 2], "size": 1}]}, "parts[0].size must be left out: there are only sizes, names"),
    ],
)
def test_the_place_of_a_mistake_is_named(change, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        convert_json({**GOOD, **change}, Whole)
    assert str(caught.value) == message


def test_a_member_of_any_kind_is_not_looked_into():
    assert convert_json({**GOOD, "training": {"loss": math.inf, "data": {"x": 1}}}, Whole).training["loss"] == math.inf


def test_numbers_stay_as_they_are_written():
    shares = convert_json({**GOOD, "shares": {"x": 3, "y": 3.0}}, Whole).shares
    assert [type(value) for value in shares.values()] == [int, float]


def test_the_path_of_a_part_begins_with_its_own_name():
    for document, message in (({"sizes": [1]}, "a.sizes: "), ({"sizes": [1, 2], "x": 1}, r"a\.x must be left out")):
        with pytest.raises(ValueError, match=message):
            convert_json(document, Part, "a")


@pytest.mark.parametrize("document", [None, [], "x", 3])
def test_something_else_than_an_object_is_refused(document):
    with pytest.raises(ValueError, match="the document: Expected `object`"):
        convert_json(document, Whole)

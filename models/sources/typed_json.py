"""Reads JSON documents into dataclasses, and says where one does not fit."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from math import isfinite
from types import UnionType
from typing import Any, Final, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")

_WORDS: Final = {type(None): "null", str: "text", bool: "true or false", int: "a whole number", float: "a number"}


class Misfit(ValueError):
    """A document is not what it should be.

    Args:
        where: Path of the place in the document, such as `preprocessing.mean`; empty for the whole.
        expected: What should be there.
    """

    def __init__(self, where: str, expected: str) -> None:
        super().__init__(where, expected)
        self.where = where
        self.expected = expected

    def __str__(self) -> str:
        return f"{self.where or 'the document'} must be {self.expected}"


def read_as(kind: type[T], value: object, where: str = "") -> T:
    """Turns parsed JSON into an object of a kind.

    Args:
        kind: A dataclass, `str`, `bool`, `int`, `float` (finite; whole numbers too), `tuple`, `Mapping` with text as
            keys, `Literal`, or a union of such kinds, tried in their order; the parts of these likewise.
        value: What `json.loads` gave.
        where: Path of the value within its document.

    Returns:
        The object; a member that a dataclass has a default for may be absent.

    Raises:
        Misfit: A member is absent, unknown, or of another kind.
    """
    return cast(T, _read(kind, value, where))


def _read(kind: Any, value: object, where: str) -> object:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin is Literal:
        return _checked(value, value in arguments, where, f"one of {', '.join(map(str, arguments))}")
    if origin in (UnionType, Union):  # the latter where a Literal is one of them
        return _read_union(arguments, value, where)
    if origin is tuple:
        return _read_tuple(arguments, value, where)
    if origin is Mapping:
        items = _object(value, where)
        return {key: _read(arguments[1], item, f"{where}.{key}") for key, item in items.items()}
    if is_dataclass(kind):
        return _read_dataclass(cast(type, kind), value, where)
    return _read_scalar(kind, value, where)


def _read_scalar(kind: type, value: object, where: str) -> object:
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return _checked(float(value), isfinite(value), where, "a finite number")
    return _checked(value, type(value) is kind, where, _WORDS.get(kind, kind.__name__))


def _read_union(kinds: tuple[Any, ...], value: object, where: str) -> object:
    expected: list[str] = []
    for kind in kinds:
        try:
            return _read(kind, value, where)
        except Misfit as misfit:
            expected.append(misfit.expected)
    raise Misfit(where, " or ".join(dict.fromkeys(expected)))


def _read_tuple(kinds: tuple[Any, ...], value: object, where: str) -> tuple[object, ...]:
    if not isinstance(value, list):
        raise Misfit(where, "a list")
    items = cast("list[object]", value)
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(items)
    if len(items) != len(kinds):
        raise Misfit(where, f"a list of {len(kinds)}")
    return tuple(
        _read(kind, item, f"{where}[{index}]") for index, (kind, item) in enumerate(zip(kinds, items, strict=True))
    )


def _read_dataclass(kind: type, value: object, where: str) -> object:
    members = _object(value, where)
    hints = get_type_hints(kind)
    known: dict[str, Field[Any]] = {field.name: field for field in fields(kind)}
    prefix = f"{where}." if where else ""
    for name in members:
        if name not in known:
            raise Misfit(f"{prefix}{name}", f"left out: there are only {', '.join(known)}")
    for name, field in known.items():
        if name not in members and field.default is MISSING and field.default_factory is MISSING:
            raise Misfit(f"{prefix}{name}", "given")
    return kind(**{name: _read(hints[name], member, f"{prefix}{name}") for name, member in members.items()})


def _object(value: object, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise Misfit(where, "an object")
    return cast("dict[str, object]", value)


def _checked(value: object, holds: bool, where: str, expected: str) -> object:
    if not holds:
        raise Misfit(where, expected)
    return value

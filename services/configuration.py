"""The parts of a Serve configuration: each refuses unknown keys, and an error names the key that is wrong."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

M = TypeVar("M", bound=BaseModel)


class TopologyError(Exception):
    """A configuration that cannot be served; the message names the key."""


class Strict(BaseModel):
    """A part of a configuration, which refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def validate(kind: type[M], value: Any, source: str) -> M:
    """Validate a configuration, or a part of it.

    Args:
        kind: Its type.
        value: What it says.
        source: Where it is from, for messages.

    Raises:
        TopologyError: names every key that is wrong.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise TopologyError(f"{source}: {'; '.join(_problem(found) for found in error.errors())}") from None


def _problem(found: Any) -> str:
    key = ".".join(str(part) for part in found["loc"]) or "the whole"
    return f"{key}: {found['msg'].removeprefix('Value error, ')}"

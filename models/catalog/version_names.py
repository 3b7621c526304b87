"""Names of model versions, ``NAME@VERSION``, and their order.

``torchvision/<builder>@<weights>`` is the name of a model as a whole: each set of torchvision's weights is a model of
its own, and has one version.
"""

import re
from typing import Final

from models.sources.torchvision_manifest import PREFIX

SEPARATOR: Final = "@"
_NUMBER: Final = re.compile(r"(\d+)")


def split_name(name: str) -> tuple[str, str | None]:
    """Splits ``NAME@VERSION`` into the name of the model and its version.

    Args:
        name: Of a model, or of one of its versions.

    Returns:
        The name, and the version; None where none is named.
    """
    if name.startswith(PREFIX):
        return name, None
    model, at, version = name.partition(SEPARATOR)
    return model, version if at else None


def join_name(model: str, version: str) -> str:
    """The name of one version of a model, the inverse of `split_name`; torchvision's models have one version each."""
    return model if model.startswith(PREFIX) else f"{model}{SEPARATOR}{version}"


def version_key(version: str) -> tuple[int | str, ...]:
    """The sort key of versions, from the oldest to the newest: digits in them compare as integers, so 1.9 < 1.10."""
    parts = _NUMBER.split(version)
    return tuple(int(part) if index % 2 else part for index, part in enumerate(parts))

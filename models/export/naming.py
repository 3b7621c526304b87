"""Names of catalog models in a Triton model repository; torch-free."""

import re
from typing import NamedTuple

from models.entries import CatalogEntry

_NOT_IN_FOLDERS = re.compile(r"[^A-Za-z0-9._-]+")
_VERSION = re.compile(r"[1-9][0-9]*")


class ServerModel(NamedTuple):
    """A model of a Triton server.

    Attributes:
        name: Name of the model, which is that of its folder.
        version: A positive integer in decimal digits, the name of its version folder.
    """

    name: str
    version: str


def server_model(entry: CatalogEntry) -> ServerModel:
    """The name and version that a catalog model is exported under.

    Args:
        entry: Its catalog entry.

    Returns:
        Its own name, with a hyphen for what no folder name should have, such as the slash of `torchvision/resnet18`;
        and its version where that is a positive integer, else 1.
    """
    name = _NOT_IN_FOLDERS.sub("-", entry.name)
    return ServerModel(name, entry.version if _VERSION.fullmatch(entry.version) else "1")

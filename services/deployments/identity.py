"""The identity of an answering model: a digest of everything in a replica that its answers depend on.

Two replicas with the same identity give the same answer to the same question; an answer is labelled, cached and counted
by the identity of the replica that gave it. The code is part of it, by its sources and not by the version of the
package, which stays the same in a checkout: any edit of these files makes cached answers of before unreachable.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import orjson
from blake3 import blake3

import models
import services

IDENTITY_BYTES: Final = 16

_ANSWERING_CODE: Final = ("answers/wire.py", "deployments")
"""What of `services` decides on an answer; of `models` everything may."""

_LIBRARIES: Final = ("numpy", "pillow", "simplejpeg", "torch", "torchvision")
"""Packages that decode, compute or resample."""


def identity_of(described: Mapping[str, Any]) -> bytes:
    """The identity of a model.

    Args:
        described: Its catalog entry, class names, weights digest and runtime, JSON-able.

    Returns:
        `IDENTITY_BYTES` bytes.
    """
    document = orjson.dumps([described, code_digest()], option=orjson.OPT_SORT_KEYS)
    return blake3(document).digest(length=IDENTITY_BYTES)


@cache
def code_digest() -> str:
    """A digest in hex of the sources and the libraries that turn an image into an answer; read once a process."""
    return digest_of(answering_sources(), {name: _version(name) for name in _LIBRARIES})


def digest_of(sources: Iterable[tuple[str, bytes]], versions: Mapping[str, str]) -> str:
    """A digest in hex of source files by name, and of libraries by version."""
    digest = blake3()
    for name, source in sources:
        digest.update(orjson.dumps([name, len(source)])).update(source)
    return digest.update(orjson.dumps(dict(versions))).hexdigest(length=IDENTITY_BYTES)


def answering_sources() -> Iterator[tuple[str, bytes]]:
    """Every source file by its name within its package, in order."""
    for package, parts in ((models, ("",)), (services, _ANSWERING_CODE)):
        root = Path(package.__path__[0])
        for part in parts:
            place = root / part
            for path in [place] if place.is_file() else sorted(place.rglob("*.py")):
                yield f"{package.__name__}/{path.relative_to(root).as_posix()}", path.read_bytes()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""

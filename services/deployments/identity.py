"""The identity of a model in a replica: a digest of everything that its predictions depend on.

Replicas with the same identity return the same prediction for the same image and parameters; predictions are labelled,
cached and counted by the identity of their replica. It includes a digest of the source code rather than the version of
the package, which does not change in a checkout: any edit of these files invalidates cached predictions.
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

_ANSWERING_CODE: Final = ("answers/wire.py", "kinds", "deployments")
"""Modules of `services` that affect predictions; all of `models` may."""

_LIBRARIES: Final = ("numpy", "onnxruntime", "openvino", "pillow", "simplejpeg", "torch", "torchvision")
"""Packages that decode, resample or compute, whose versions affect predictions."""


def identity_of(described: Mapping[str, Any]) -> bytes:
    """Computes the identity of a model.

    Args:
        described: Its catalog entry, class names, weights digest and runtime, JSON-able.

    Returns:
        `IDENTITY_BYTES` bytes.
    """
    document = orjson.dumps([described, code_digest()], option=orjson.OPT_SORT_KEYS)
    return blake3(document).digest(length=IDENTITY_BYTES)


@cache
def code_digest() -> str:
    """A digest in hex of the sources and library versions that affect predictions; computed once a process."""
    return digest_of(answering_sources(), {name: _version(name) for name in _LIBRARIES})


def digest_of(sources: Iterable[tuple[str, bytes]], versions: Mapping[str, str]) -> str:
    """A digest in hex of source files by name, and of libraries by version."""
    digest = blake3()
    for name, source in sources:
        digest.update(orjson.dumps([name, len(source)])).update(source)
    return digest.update(orjson.dumps(dict(versions))).hexdigest(length=IDENTITY_BYTES)


def answering_sources() -> Iterator[tuple[str, bytes]]:
    """The source files that affect predictions by their names within their package, in order."""
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

"""Compiled networks on disk, so that a network is converted once a machine: by content, with a checksum.

A file is called by a digest of everything that it depends on: the parameters of the network and its source code, the
versions of the libraries, the features of the CPU, and the settings. So there is nothing to invalidate; files that were
not read for `_KEPT_S` are deleted.
"""

import hashlib
import logging
import mmap
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import models
from models.files import replaced
from models.runtime import cpu_flags

_LIBRARIES: Final = ("openvino", "torch", "torchvision")
_DIGEST_BYTES: Final = 32
_KEPT_S: Final = 30 * 24 * 3600.0
_SUFFIX: Final = ".blob"

_log = logging.getLogger(__name__)


def cached_path(network: nn.Module, examples: Sequence[Tensor], setting: str) -> Path:
    """Returns the path of a compiled network, which need not exist.

    Args:
        network: The network.
        examples: Inputs of the shapes that it is compiled for.
        setting: Anything else that it depends on.

    Returns:
        A path in the folder of downloaded weights, that of torch hub (`TORCH_HOME`).
    """
    digest = hashlib.sha256(_environment_digest())
    shapes = [tuple(example.shape) for example in examples]
    for text in (setting, str(shapes), repr(network)):
        digest.update(f"{len(text)} {text}".encode())
    for path in sorted(_source_files(network)):
        digest.update(_file_digest(path))
    for name, value in network.state_dict().items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return _path_of(digest.hexdigest())


def cached_file_path(source_digest: str, setting: str) -> Path:
    """Returns the path of the compiled network of a file, which need not exist.

    Args:
        source_digest: sha256 of the file in hex.
        setting: Anything else that it depends on.

    Returns:
        See `cached_path`.
    """
    digest = hashlib.sha256(_environment_digest())
    digest.update(f"{source_digest} {setting}".encode())
    return _path_of(digest.hexdigest())


def _path_of(digest: str) -> Path:
    return Path(torch.hub.get_dir()) / "openvino" / f"{digest}{_SUFFIX}"


def read(path: Path) -> NDArray[np.uint8] | None:
    """Maps a compiled network into memory, so that processes share it.

    Args:
        path: From `cached_path` or `cached_file_path`.

    Returns:
        The bytes that were written; None where there is no such file, or a damaged one.
    """
    try:
        content = np.memmap(path, np.uint8, "c")  # copy on write, because OpenVINO takes writable memory only
    except (OSError, ValueError):  # the latter of an empty file
        return None
    blob, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    if hashlib.sha256(blob.data).digest() != digest.tobytes():
        _log.warning("%s is damaged; the network is converted again", path)
        return None
    with suppress(OSError):
        path.touch()
    return blob


def drop_pages(blob: NDArray[np.uint8]) -> None:
    """Frees the memory of a blob, whose pages are read from its file again where they are needed.

    Compiling copies weights to layouts of its own: without this, a network of 90 MB takes 221 MB instead of 131.

    Args:
        blob: From `read`; nothing was written to it.
    """
    mapped: Any = getattr(blob, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def write(path: Path, blob: NDArray[np.uint8]) -> None:
    """Writes a compiled network; where that is not possible, it says so in the log, and nothing else happens.

    Args:
        path: From `cached_path` or `cached_file_path`.
        blob: The compiled network.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced(path) as file:
            file.write(blob.data)
            file.write(hashlib.sha256(blob.data).digest())
        _delete_old(path.parent)
    except OSError as error:
        _log.info("the compiled network could not be kept, so it is converted at every start: %s", error)


def _delete_old(folder: Path) -> None:
    for path in folder.glob(f"*{_SUFFIX}*"):  # and what a killed process has left of one
        with suppress(OSError):
            if path.stat().st_mtime < time.time() - _KEPT_S:
                path.unlink()


@cache
def _environment_digest() -> bytes:
    """A digest of the libraries, the CPU, and the source code of `models`, which the network and its conversion are."""
    lines = [f"{name} {version(name)}" for name in _LIBRARIES]
    digest = hashlib.sha256("\n".join([*lines, sys.version, " ".join(sorted(cpu_flags()))]).encode())
    for path in sorted(Path(models.__path__[0]).rglob("*.py")):
        digest.update(_file_digest(str(path)))
    return digest.digest()


def _source_files(network: nn.Module) -> Iterable[str]:
    """Files of the network's classes that belong to none of the libraries."""
    names = {type(module).__module__ for module in network.modules()}
    own = {name for name in names if name.partition(".")[0] not in ("torch", "torchvision", models.__name__)}
    return {path for name in own if (path := getattr(sys.modules.get(name), "__file__", None))}


def _file_digest(path: str) -> bytes:
    return hashlib.sha256(Path(path).read_bytes()).digest()

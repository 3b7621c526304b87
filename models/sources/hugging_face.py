"""Weights files of Hugging Face's hub: found in its cache (``HF_HOME``), or downloaded into it."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import re
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any, Final

from models.files import file_digest
from models.sources.downloads import Progress, WrongDigest

_FILES: Final = ("model.safetensors", "pytorch_model.bin")
"""Names of a model's weights in a repository, the first that exists counts; neither is read in a way that runs code."""
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class HubUnavailable(Exception):
    """A file is not in the cache and cannot be downloaded; the message is one line that says why."""


def cached(repository: str) -> Path | None:
    """Finds the weights of a repository in the cache.

    Args:
        repository: Such as ``timm/resnet18.a1_in1k``.

    Returns:
        Path of the file; None where there is none, or the package `huggingface_hub` is not installed.
    """
    try:
        hub: Any = import_module("huggingface_hub")
    except ImportError:
        return None
    found = (hub.try_to_load_from_cache(repository, name) for name in _FILES)
    return next((Path(path) for path in found if isinstance(path, str)), None)


def download(repository: str, progress: Progress | None = None) -> Path:
    """Downloads the weights of a repository into the cache.

    Args:
        repository: Such as ``timm/resnet18.a1_in1k``.
        progress: Called with the bytes received, and the total or 0.

    Returns:
        Path of the file.

    Raises:
        HubUnavailable: No package `huggingface_hub`, no network, no such file, or no access to it.
        WrongDigest: The file has another sha256 than the hub names; it is deleted.
    """
    try:
        hub: Any = import_module("huggingface_hub")
    except ImportError:
        raise HubUnavailable("needs the Python package huggingface_hub: pip install 'tapetum[timm]'") from None
    try:
        name, expected = _described(hub, repository)
        path = Path(hub.hf_hub_download(repository, name, tqdm_class=_bar(progress)))
    except Exception as error:  # of the hub, of its HTTP library, or of the disk
        raise HubUnavailable(_one_line(error)) from error
    if _SHA256.fullmatch(expected) and (digest := file_digest(path)) != expected:
        path.resolve().unlink()
        raise WrongDigest(digest)
    return path


def _described(hub: Any, repository: str) -> tuple[str, str]:
    """The name of the weights, and their digest or another tag; asked for once, where a download tries for 24 s."""
    for name in _FILES:
        try:
            return name, hub.get_hf_file_metadata(hub.hf_hub_url(repository, name)).etag or ""
        except hub.errors.EntryNotFoundError:
            continue
    raise FileNotFoundError(f"the repository has neither {' nor '.join(_FILES)}")


def _bar(progress: Progress | None) -> type:
    """A progress bar that prints nothing, and calls a function."""
    tqdm: Any = import_module("tqdm").tqdm

    class Bar(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "file": StringIO(), "disable": False})

        def update(self, n: float = 1) -> Any:
            shown = super().update(n)
            if progress is not None:
                progress(int(self.n), int(self.total or 0))
            return shown

    return Bar


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__

"""Why a version of a model could not be loaded, in words that may be sent to clients."""

from __future__ import annotations

import re
from typing import Final

from models.errors import ModelsError

_MOST_CHARACTERS: Final = 300
_FOLDERS: Final = re.compile(r"/(?:[^/\s'\",;:]+/)+")


def reason_of(error: Exception) -> str:
    """The message of an error in one line, without the folders of paths."""
    text = str(getattr(error, "message", "") or error) or type(error).__name__
    if not isinstance(error, ModelsError):
        text = f"{type(error).__name__}: {text}"
    return _FOLDERS.sub("", text.strip().partition("\n")[0])[:_MOST_CHARACTERS]

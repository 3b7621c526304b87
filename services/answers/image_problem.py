"""The error of a failed image in the command line and the evaluation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """The error of a failed image.

    Attributes:
        code: For programs: a code of `models.errors` or of the server, or `unreadable_file`.
        message: For people.
    """

    code: str
    message: str

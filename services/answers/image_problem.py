"""Why an image has no answer, as the command line and the evaluation keep it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """Why one image has no answer.

    Attributes:
        code: For programs: a code of `models.errors` or of the server, or `unreadable_file`.
        message: For people.
    """

    code: str
    message: str

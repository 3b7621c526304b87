"""Validates cached values before they are sent to clients."""

from __future__ import annotations

import asyncio
from typing import Final

from pydantic import ValidationError

from models.entries import Task
from services.gateway.serving.served_model import ServedModel
from services.kinds import TASKS

INLINE_ANSWER_BYTES: Final = 16 * 2**10
"""A larger answer is validated in a thread: polygons of 400 KB take 16 ms, and the usual classes of 400 bytes 10 µs."""


async def is_answer(model: ServedModel, body: bytes) -> bool:
    """Whether a value is a JSON object that matches the response schema of this model, without surrounding
    whitespace."""
    if len(body) > INLINE_ANSWER_BYTES:
        return await asyncio.to_thread(_has_shape, model.entry["task"], body)
    return _has_shape(model.entry["task"], body)


def _has_shape(task: Task, body: bytes) -> bool:
    if body[:1] != b"{" or body[-1:] != b"}":  # more members are written into it, at both ends
        return False
    try:
        TASKS[task].found.model_validate_json(body)
    except ValidationError:
        return False
    return True

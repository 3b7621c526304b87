"""The latest disagreements of a shadow with the primary version, by request id, so that feedback can be sent for them.

Request ids belong to clients: a client sees those of its own requests, and an administrator sees all.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, Final

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.errors import FeedbackUnavailable
from services.gateway.accuracy.feedback_store import FeedbackStore, StoreFailed

MOST_LISTED: Final = 500
"""The most disagreements of a model that are kept, the latest."""


class Disagreement(BaseModel):
    """An image on which two versions disagree.

    Attributes:
        request_id: Of the request.
        index: Of the image, in a request with several.
        tenant: Id of the client; empty where no API key is needed.
        at_s: Unix time.
        primary: Version that answered the request.
        shadow: Version that also answered it.
        figures: Agreement by name, 0 to 1 (`services.gateway.shadow.agreement`).
    """

    model_config = ConfigDict(frozen=True)

    request_id: str
    index: int = Field(ge=0)
    tenant: str
    at_s: float
    primary: str
    shadow: str
    figures: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON-able values, without the client."""
        return self.model_dump(exclude={"tenant"})


class Disagreements:
    """Keeps the latest disagreements of each model.

    Args:
        store: Windows that gateways share.
        ttl_s: Age at which a disagreement is no longer listed: the time for which feedback on the answer is accepted.
    """

    def __init__(self, store: FeedbackStore, ttl_s: int) -> None:
        self._store = store
        self._ttl_s = ttl_s

    async def add(self, model: str, found: Disagreement) -> None:
        """Add a disagreement.

        Raises:
            StoreFailed
        """
        figures = {name: value for name, value in found.figures.items() if math.isfinite(value)}
        entry = found.model_copy(update={"figures": figures}).model_dump_json().encode()
        await self._store.push(_window(model), [entry], MOST_LISTED)

    async def list(self, model: str, tenant: str | None) -> list[Disagreement]:
        """The latest disagreements of a model, at most `MOST_LISTED`, the newest first.

        Args:
            model: Its name.
            tenant: Of this client only; None: of all.

        Raises:
            FeedbackUnavailable: the store is down or slow.
        """
        try:
            (entries,) = await self._store.read([_window(model)], MOST_LISTED)
        except StoreFailed:
            raise FeedbackUnavailable("the store of disagreements is down or slow; try again") from None
        since_s = time.time() - self._ttl_s
        found = [one for entry in entries if (one := _parse(entry)) is not None and one.at_s >= since_s]
        return [one for one in found if tenant is None or one.tenant == tenant]


def _parse(entry: bytes) -> Disagreement | None:
    """An entry of a window; None where it is malformed."""
    try:
        return Disagreement.model_validate_json(entry)
    except ValidationError:
        return None


def _window(model: str) -> str:
    return "disagreements:" + orjson.dumps(model).decode()

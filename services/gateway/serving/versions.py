"""The versions of one model that are served: usually one, several during a rolling update or on unlike machines."""

from __future__ import annotations

import time
from typing import Final

from services.accuracy.store import ModelKey
from services.gateway.serving.served_model import ServedModel

STILL_SERVED_S: Final = 15.0
"""A version whose replicas have not answered for this long (three probes) is no longer served."""


class Versions:
    """The versions of one model, by the identity of the replicas that have them.

    A version that is seen for the first time becomes the current one; it stays current for as long as its replicas
    answer, so that the current version does not alternate while two of them answer.

    Args:
        first: The version that was seen first.
    """

    def __init__(self, first: ServedModel) -> None:
        self.current = first
        self._known = {first.identity: first}
        self._heard_at = {first.identity: time.monotonic()}

    def hear(self, identity: bytes) -> ServedModel | None:
        """Note that a replica of this identity has answered.

        Returns:
            Its version; None where it is unknown: call `learn`.
        """
        known = self._known.get(identity)
        if known is not None:
            self._heard_at[identity] = time.monotonic()
            if known is not self.current and not self._is_served(self.current.identity):
                self.current = known
        return known

    def learn(self, model: ServedModel) -> ServedModel:
        """Add the version that a replica has described.

        Returns:
            Its version, the same object every time.
        """
        known = self.hear(model.identity)
        if known is None:
            self._forget()
            known = self.current = self._known[model.identity] = model
            self._heard_at[model.identity] = time.monotonic()
        return known

    def find(self, key: ModelKey) -> ServedModel | None:
        """The version with these weights, while it is served; the current one where several have them."""
        if self.current.key == key:
            return self.current
        served = (model for identity, model in self._known.items() if self._is_served(identity))
        return next((model for model in served if model.key == key), None)

    def _is_served(self, identity: bytes) -> bool:
        return time.monotonic() - self._heard_at[identity] < STILL_SERVED_S

    def _forget(self) -> None:
        for identity in [one for one in self._known if not self._is_served(one)]:
            del self._known[identity], self._heard_at[identity]

"""The served versions of one model: usually one; several during a rolling update or on different machines."""

from __future__ import annotations

import time
from typing import Final

from services.accuracy.store import ModelKey
from services.gateway.serving.served_model import ServedModel

STILL_SERVED_S: Final = 15.0
"""Seconds without a response of its replicas (three probes) after which a version is no longer served."""


class Versions:
    """The versions of one model, by the identity of their replicas.

    A new version becomes the current one; it stays current as long as its replicas respond, so that the current version
    does not alternate while two of them do.

    Args:
        first: The first version.
    """

    def __init__(self, first: ServedModel) -> None:
        self.current = first
        self._known = {first.identity: first}
        self._heard_at = {first.identity: time.monotonic()}

    def hear(self, identity: bytes) -> ServedModel | None:
        """Record a response of a replica with this identity.

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
        """Add the version of a replica's description.

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
        """The served version with these weights; of several, the current one."""
        if self.current.key == key:
            return self.current
        served = (model for identity, model in self._known.items() if self._is_served(identity))
        return next((model for model in served if model.key == key), None)

    def _is_served(self, identity: bytes) -> bool:
        return time.monotonic() - self._heard_at[identity] < STILL_SERVED_S

    def _forget(self) -> None:
        for identity in [one for one in self._known if not self._is_served(one)]:
            del self._known[identity], self._heard_at[identity]

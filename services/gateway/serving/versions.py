"""The served versions of one model, by the identity of their replicas."""

from __future__ import annotations

import time
from typing import Final

from services.accuracy.store import ModelKey
from services.gateway.serving.served_model import ServedModel

STILL_SERVED_S: Final = 15.0
"""Seconds without a response of its replicas (three probes) after which a version is no longer served."""


class Versions:
    """The versions of one model that replicas have described: each is known by its label, and by an identity.

    Replicas of one version may have different identities during a rolling update, or on different machines. A new
    identity becomes the current one of its version; it stays current as long as its replicas respond, so that it does
    not alternate while two of them do.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, ServedModel] = {}
        self._heard_at: dict[bytes, float] = {}
        self._current: dict[str, ServedModel] = {}

    def hear(self, identity: bytes) -> ServedModel | None:
        """Record a response of a replica with this identity.

        Returns:
            What it has; None where it is unknown: call `learn`.
        """
        known = self._known.get(identity)
        if known is not None:
            self._heard_at[identity] = time.monotonic()
            if not self._is_served(self._current[known.version]):
                self._current[known.version] = known
        return known

    def learn(self, model: ServedModel) -> ServedModel:
        """Add what a replica has by its description.

        Returns:
            The same object every time.
        """
        known = self.hear(model.identity)
        if known is None:
            self._forget()
            known = self._known[model.identity] = self._current[model.version] = model
            self._heard_at[model.identity] = time.monotonic()
        return known

    def served(self) -> dict[str, ServedModel]:
        """The versions whose replicas have responded lately, by label."""
        return {version: model for version, model in self._current.items() if self._is_served(model)}

    def latest(self) -> ServedModel | None:
        """The version whose replicas have responded last; None where none ever has."""
        identity = max(self._heard_at, key=self._heard_at.__getitem__, default=None)
        return None if identity is None else self._known[identity]

    def find(self, key: ModelKey) -> ServedModel | None:
        """What is served with these weights; of several, the current one."""
        current = self._current.get(key.version)
        if current is not None and current.key == key:
            return current
        return next((model for model in self._known.values() if model.key == key and self._is_served(model)), None)

    def _is_served(self, model: ServedModel) -> bool:
        return time.monotonic() - self._heard_at[model.identity] < STILL_SERVED_S

    def _forget(self) -> None:
        for model in [model for model in self._known.values() if not self._is_served(model)]:
            del self._known[model.identity], self._heard_at[model.identity]
            if self._current[model.version] is model:
                del self._current[model.version]

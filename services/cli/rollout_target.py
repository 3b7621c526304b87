"""The server of a rollout, over HTTP."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

from services.cli.console import CommandError
from services.client import Client, TapetumError
from services.client import administration as admin
from services.client.administration import VersionTraffic
from services.rollout.gate import Evaluated, Verdict, check_gate
from services.rollout.guards import LiveFigures, Seen
from services.rollout.traffic import Traffic

LOAD_S: Final = 600.0
"""Longest time for which the load of a version is awaited."""

LEASE_S: Final = 60.0
"""Seconds after which a canary that is not renewed ends by itself."""


class ServerTarget:
    """A server, as `services.cli.rollout_session.Target`.

    Args:
        client: With the key of an administrator.
        name: The model.
        version: The version to roll out.
    """

    def __init__(self, client: Client, name: str, version: str) -> None:
        self._client = client
        self._name = name
        self._version = version
        self._undo: list[admin.Call[Any]] = []

    def current(self) -> str:
        """The version that answers requests without a version.

        Raises:
            CommandError: none does yet.
        """
        versions = self._client.send(admin.versions(self._name))
        current = next((status.version for status in versions if status.is_default), None)
        if current is None:
            raise CommandError(f"no version of {self._name} answers requests yet")
        return current

    def load(self, old: str) -> None:
        """Pin the old version, and load the new one where it is not.

        Raises:
            CommandError: it is still being loaded after `LOAD_S`.
        """
        policy = self._client.send(admin.plan(self._name)).policy
        self._undo = [admin.change_plan(self._name, {"policy": policy})]
        self._change({"policy": old, "canary": None})
        loaded = [
            status.version for status in self._client.send(admin.versions(self._name)) if status.state == "loaded"
        ]
        if self._version in loaded:
            return
        self._undo.insert(0, admin.unload(self._name, self._version))
        give_up_at = time.monotonic() + LOAD_S
        while not self._is_loaded():
            if time.monotonic() > give_up_at:
                raise CommandError(f"{self._name}@{self._version} was not loaded within {LOAD_S:g} s")

    def _is_loaded(self) -> bool:
        """Request the load, and wait for it within the time limit of a call."""
        try:
            return self._client.send(admin.load(self._name, self._version)).state == "loaded"
        except TapetumError as error:
            if error.code != "timed_out":
                raise
            return False

    def unload(self) -> None:
        """Unload the version where `load` has loaded it, and restore the version policy: it might choose it else."""
        for call in self._undo:
            try:
                self._client.send(call)
            except TapetumError as error:
                if error.status != 404:  # of a version that the catalog does not have there is nothing to unload
                    return

    def gate(self, old: str) -> Verdict:
        """Compare the recorded evaluations of both versions."""
        runs = {one.version: one.offline for one in self._client.accuracy() if one.name == self._name}
        with _expected():
            before, now = ([Evaluated.from_dict(run) for run in runs.get(each, ())] for each in (old, self._version))
        return check_gate(before, now)

    def set_weight(self, weight: float) -> None:
        """Send a percentage of the requests to the new version, for `LEASE_S`."""
        self._change({"canary": {"version": self._version, "weight": weight, "ttl_s": LEASE_S}})

    def promote(self) -> None:
        """Pin the new version, and end the canary."""
        self._change({"policy": self._version, "canary": None})

    def roll_back(self, old: str) -> None:
        """Pin the old version, and end the canary."""
        self._change({"policy": old, "canary": None})

    def look(self, old: str) -> tuple[Seen, Seen]:
        """The live metrics of both versions."""
        versions = self._client.send(admin.traffic(self._name))
        with _expected():
            return _seen(old, versions.get(old)), _seen(self._version, versions.get(self._version))

    def _change(self, changes: dict[str, Any]) -> None:
        self._client.send(admin.change_plan(self._name, changes))


@contextmanager
def _expected() -> Generator[None]:
    """Turn a malformed answer into an error of the server.

    Raises:
        TapetumError
    """
    try:
        yield
    except ValueError as error:
        raise TapetumError(f"the answer of the server is not one of Tapetum's: {error}", "unexpected_answer") from None


def _seen(version: str, told: VersionTraffic | None) -> Seen:
    if told is None:
        return Seen(version)
    live = LiveFigures()
    if told.live is not None:
        figures = {name: value for name, value in told.live["figures"].items() if value is not None}
        live = LiveFigures(told.live["samples"], figures)
    return Seen(version, Traffic.from_dict(told.traffic), live)

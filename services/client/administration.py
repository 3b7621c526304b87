"""Calls of administrators: the versions of a model, its serving plan, and the requests of each version.

with Client(url, api_key=admin_key) as client:
    client.send(load("yolo-person", "2"))
    client.send(change_plan("yolo-person", {"canary": {"version": "2", "weight": 5}}))
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from services.client.calls import Call


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """The state of one version of a model.

    Attributes:
        version: The version.
        state: `loading`, `loaded`, `failed`, `unloading` or `unloaded`.
        reason: Why it failed; else None.
        is_default: Whether it answers requests that name no version.
    """

    version: str
    state: str
    reason: str | None
    is_default: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """The serving plan of a model.

    Attributes:
        policy: `newest`, or the version that answers requests without a version.
        canary: `version`, `weight` and `until_s`; None without a canary.
        shadow: `version` and `share`; None without a shadow.
    """

    policy: str
    canary: Mapping[str, Any] | None
    shadow: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class VersionTraffic:
    """What a version has answered.

    Attributes:
        traffic: `requests`, `failed` and `latencies`: counts in total.
        live: Accuracy by feedback, `samples` and `figures`; None without feedback.
    """

    traffic: Mapping[str, Any]
    live: Mapping[str, Any] | None


def versions(name: str) -> Call[tuple[VersionStatus, ...]]:
    """The states of the versions of a model."""
    return Call("GET", _path(name), lambda body: tuple(map(_status, body["versions"])))


def load(name: str, version: str) -> Call[VersionStatus]:
    """Load a version, and wait for it within the time limit."""
    return _post(f"{_path(name)}/load", {"version": version})


def unload(name: str, version: str) -> Call[VersionStatus]:
    """Unload a version."""
    return _post(f"{_path(name)}/unload", {"version": version})


def plan(name: str) -> Call[Plan]:
    """The serving plan of a model."""
    return Call("GET", f"{_path(name)}/plan", _plan)


def change_plan(name: str, changes: Mapping[str, Any]) -> Call[Plan]:
    """Change some members of the serving plan of a model: `policy`, `canary`, `shadow`."""
    content = json.dumps(changes).encode()
    return Call("PUT", f"{_path(name)}/plan", _plan, content=content, content_type="application/json")


def traffic(name: str) -> Call[Mapping[str, VersionTraffic]]:
    """What the versions of a model have answered, by version."""
    return Call("GET", f"{_path(name)}/traffic", _traffic)


def _post(path: str, document: Mapping[str, Any]) -> Call[VersionStatus]:
    content = json.dumps(document).encode()
    return Call("POST", path, _status, content=content, content_type="application/json", accepted=(200, 202))


def _path(name: str) -> str:
    return f"v1/models/{quote(name)}"


def _status(body: Mapping[str, Any]) -> VersionStatus:
    return VersionStatus(body["version"], body["state"], body["reason"], body["is_default"])


def _plan(body: Mapping[str, Any]) -> Plan:
    return Plan(body["policy"], body["canary"], body["shadow"])


def _traffic(body: Mapping[str, Any]) -> Mapping[str, VersionTraffic]:
    return {one["version"]: VersionTraffic(one["traffic"], one["live"]) for one in body["versions"]}

"""The model repository as the protocol shows it: which models there are, in which versions and states."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from models.catalog.version_names import join_name
from services.errors import InvalidParameters, NotReady
from services.gateway.administration import check_admin
from services.gateway.schemas import VersionStatus
from services.gateway.serving.admission import ConcurrencyLimiter
from services.gateway.serving.model_versions import ModelVersions
from services.gateway.serving.registry import Registry
from services.gateway.serving.served_model import ServedModel
from services.settings import Settings

UNLOAD_DEPENDENTS: Final = "unload_dependents"
"""Parameter of an unload that has no effect, as no model depends on another."""

_STATES: Final = {"loaded": "READY", "loading": "LOADING", "unloading": "UNLOADING"}
"""Triton's names of states; all others are UNAVAILABLE."""


@dataclass(frozen=True, slots=True)
class Repository:
    """The models of a gateway, by name and version.

    Attributes:
        registry: The models.
        versions: Loads and unloads versions.
        limiter: Says whether the server is draining.
        settings: Time limit of a load, and whether there are administrators.
    """

    registry: Registry
    versions: ModelVersions
    limiter: ConcurrencyLimiter
    settings: Settings

    def find(self, name: str, version: str = "") -> ServedModel:
        """Find a model.

        Args:
            name: Of the model; `NAME@VERSION` names a version, too.
            version: Of the model; empty: that of the version policy.

        Raises:
            ModelNotFound: there is no such model, or no such version of it.
            NotReady: it has not been warm yet.
        """
        return self.registry.get(full_name(name, version))

    def all_versions(self, model: ServedModel) -> tuple[str, ...]:
        """All served versions of a model, the newest first."""
        return tuple(each.version for each in self.registry.versions(model.name))

    def select(self, name: str, version: str = "") -> tuple[ServedModel, ...]:
        """The versions that a request for statistics names: all of all models, all of one, or one.

        Raises:
            ModelNotFound: there is no such model, or no such version of it.
            NotReady: it has not been warm yet.
        """
        if not name:
            return self.registry.served()
        model = self.find(name, version)
        return (model,) if version else self.registry.versions(model.name)

    async def is_ready(self) -> bool:
        """Whether every configured model is ready, and the server is not draining."""
        return all((await self.registry.readiness()).values()) and not self.limiter.is_draining

    async def check_ready(self, name: str, version: str) -> None:
        """Check that a model is ready.

        Raises:
            ModelNotFound: there is no such model, or no such version of it.
            NotReady: it is not ready.
        """
        model = self.find(name, version)
        if not (await self.registry.readiness())[model.name]:
            raise NotReady(f"{name} does not answer")

    async def index(self, *, ready_only: bool) -> list[dict[str, str]]:
        """Name, version, state and its reason of all versions of all configured models.

        Args:
            ready_only: Leave out those that are not ready.
        """
        ready = await self.registry.readiness()
        entries = [_entry(status, is_ready=ready[status.name]) for status in self.versions.statuses()]
        return [entry for entry in entries if entry["state"] == "READY" or not ready_only]

    async def load(self, name: str, parameters: Iterable[str] = (), *, is_admin: bool) -> None:
        """Load a version of a model, and wait until it is warm.

        Args:
            name: Of the model, for its newest version, or `NAME@VERSION`.
            parameters: Names of the parameters of the request.
            is_admin: Whether the client is an administrator.

        Raises:
            Forbidden: it is none.
            InvalidParameters: a parameter is not supported.
            ModelNotFound: there is no such model, or no such version of it.
            LoadFailed: it cannot be loaded.
            NotReady: it was not loaded within the longest time limit of a request; the load goes on.
        """
        check_admin(is_admin=is_admin, settings=self.settings)
        _check_parameters(parameters)
        status = await self.versions.load(name, timeout_s=self.settings.max_request_timeout_s)
        if status.state != "loaded":
            raise NotReady(f"{join_name(status.name, status.version)} is still being loaded")

    async def unload(self, name: str, parameters: Iterable[str] = (), *, is_admin: bool) -> None:
        """Unload a version of a model, once no request uses it any more.

        Args:
            name: `NAME@VERSION`.
            parameters: Names of the parameters of the request.
            is_admin: Whether the client is an administrator.

        Raises:
            Forbidden: it is none.
            ModelNotFound: there is no such model, or the version is not loaded.
            InvalidParameters: no version is named, or a parameter is not supported.
            VersionInUse: it is the only version, or the one of the version policy.
        """
        check_admin(is_admin=is_admin, settings=self.settings)
        _check_parameters(parameters)
        await self.versions.unload(name, timeout_s=self.settings.max_request_timeout_s)


def _check_parameters(names: Iterable[str]) -> None:
    if unknown := [name for name in names if name != UNLOAD_DEPENDENTS]:
        message = f"unexpected parameter {unknown[0][:80]!r}: a model is loaded as its card in the catalog says"
        raise InvalidParameters(message, {"unknown": unknown[:10]})


def full_name(name: str, version: str) -> str:
    """`NAME@VERSION`, or the name alone where no version is named."""
    return join_name(name, version) if version else name


def _entry(status: VersionStatus, *, is_ready: bool) -> dict[str, str]:
    state = _STATES.get(status.state, "UNAVAILABLE")
    reason = status.reason or ""
    if state == "READY" and not is_ready:
        state, reason = "UNAVAILABLE", "no replica answers"
    entry = {"name": status.name, "version": status.version, "state": state}
    return {**entry, "reason": reason} if reason else entry

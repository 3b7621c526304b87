"""The model repository as the protocol shows it: which models there are, in which versions and states."""

from __future__ import annotations

from dataclasses import dataclass

from services.errors import ModelNotFound, NotReady
from services.gateway.serving.admission import ConcurrencyLimiter
from services.gateway.serving.registry import Registry
from services.gateway.serving.served_model import ServedModel


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """The state of one version of a model.

    Attributes:
        name: Of the model.
        version: Empty while it is not known.
        is_ready: Whether it answers.
        reason: Why it does not; empty where it does.
    """

    name: str
    version: str
    is_ready: bool
    reason: str

    def to_dict(self) -> dict[str, str]:
        """The members of the entry in a response; `reason` only where there is one."""
        state = "READY" if self.is_ready else "UNAVAILABLE"
        reason = {"reason": self.reason} if self.reason else {}
        return {"name": self.name, "version": self.version, "state": state, **reason}


@dataclass(frozen=True, slots=True)
class Repository:
    """The models of a gateway, by name and version.

    Attributes:
        registry: The models.
        limiter: Says whether the server is draining.
    """

    registry: Registry
    limiter: ConcurrencyLimiter

    def find(self, name: str, version: str = "") -> ServedModel:
        """Find a model.

        Args:
            name: Of the model.
            version: Of the model; empty: the default one.

        Raises:
            ModelNotFound: there is no such model, or no such version of it.
            NotReady: it has not been warm yet.
        """
        model = self.registry.get(name)
        if version not in ("", model.version):
            raise ModelNotFound(f"{name} has no version {version[:80]!r}; there is: {model.version}")
        return model

    def versions(self, model: ServedModel) -> tuple[str, ...]:
        """All served versions of a model."""
        return (model.version,)

    def select(self, name: str, version: str = "") -> tuple[ServedModel, ...]:
        """The models that a request for statistics names: all, one, or a version of one.

        Raises:
            ModelNotFound: there is no such model, or no such version of it.
            NotReady: it has not been warm yet.
        """
        return (self.find(name, version),) if name else self.registry.served()

    async def is_ready(self) -> bool:
        """Whether every configured model is ready, and the server is not draining."""
        return all((await self.registry.readiness()).values()) and not self.limiter.is_draining

    async def check_ready(self, name: str, version: str) -> None:
        """Check that a model is ready.

        Raises:
            ModelNotFound: there is no such model, or no such version of it.
            NotReady: it is not ready.
        """
        self.find(name, version)
        if not (await self.registry.readiness())[name]:
            raise NotReady(f"{name} does not answer")

    async def index(self, *, ready_only: bool) -> list[IndexEntry]:
        """All configured models.

        Args:
            ready_only: Leave out those that are not ready.
        """
        served: dict[str, ServedModel] = {model.name: model for model in self.registry.served()}
        entries: list[IndexEntry] = []
        for name, is_ready in (await self.registry.readiness()).items():
            version = served[name].version if name in served else ""
            reason = "" if is_ready else "no replica answers" if name in served else "is being loaded"
            entries.append(IndexEntry(name, version, is_ready, reason))
        return [entry for entry in entries if entry.is_ready or not ready_only]

"""A shadow: a version that answers a sample of the requests off the response path, to compare its answers."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from services.rollout.sampling import point_of


class Shadow(BaseModel):
    """A shadow version.

    Attributes:
        version: The version.
        share: Share of the requests that it also answers, 0 to 1.
    """

    model_config = ConfigDict(frozen=True)

    version: str = Field(min_length=1)
    share: float = Field(ge=0, le=1)

    def samples(self, model: str, request_id: str) -> bool:
        """Whether a request is in the sample, which is independent of the requests of a canary."""
        return point_of("shadow", model, self.version, request_id) < self.share

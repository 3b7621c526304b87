"""A canary: a version that answers a part of the requests for its model, sticky by request id."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from services.rollout.sampling import point_of


class Canary(BaseModel):
    """A canary version.

    Attributes:
        version: The version.
        weight: Percentage of the requests that it answers.
        until_s: Unix time at which it ends by itself; None: never. Whoever steps the weight up renews it, so that the
            canary does not outlive them.
    """

    model_config = ConfigDict(frozen=True)

    version: str = Field(min_length=1)
    weight: float = Field(ge=0, le=100)
    until_s: float | None = None

    def takes(self, model: str, request_id: str, now_s: float) -> bool:
        """Whether a request goes to the canary.

        The request id is hashed to a point of [0, 100) that does not depend on the weight: a request id always gets the
        same version, and raising the weight moves no id back to the other version.

        Args:
            model: Name of the model.
            request_id: Of the request.
            now_s: Unix time.
        """
        if self.until_s is not None and now_s > self.until_s:
            return False
        return 100 * point_of("canary", model, self.version, request_id) < self.weight

"""An image that a shadow version also answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from services.gateway.serving.predictor import Answer
from services.gateway.serving.served_model import ServedModel


@dataclass(frozen=True, slots=True)
class ShadowImage:
    """One image of a request that was answered.

    Attributes:
        tenant: Id of the client.
        request_id: Of the request.
        index: Of the image in it.
        image: The encoded file.
        primary: Version that answered.
        answer: Its answer, as `services.answers.wire.Outcome.body`.
        shadow: Version that is compared with it.
        complete: From the catalog entry of a version to the complete parameters of the request.
    """

    tenant: str
    request_id: str
    index: int
    image: bytes
    primary: ServedModel
    answer: bytes
    shadow: ServedModel
    complete: Callable[[Mapping[str, Any]], dict[str, Any]]

    @classmethod
    def of(
        cls, tenant: str, request_id: str, index: int, image: bytes, answer: Answer, shadow: ServedModel
    ) -> ShadowImage:
        """From the answer of the primary version."""
        return cls(tenant, request_id, index, image, answer.model, answer.body, shadow, answer.request.complete)

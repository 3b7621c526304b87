"""One version of a served model: the label, cache key and metric key of its predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from models.entries import Kind, kind_in
from models.kinds import KINDS
from services.accuracy.store import ModelKey
from services.gateway.serving.model_calls import ModelCalls
from services.kinds.completion import complete


@dataclass(frozen=True, slots=True, eq=False)
class ServedModel:
    """One version of a model that is loaded in at least one replica. There is one object of each identity.

    Attributes:
        kind: The task, or of a segmenter the type of its masks.
        entry: The catalog entry, and the device and precision of the replica.
        identity: Digest of everything that a prediction depends on besides image and parameters: see
            `services.deployments.identity`.
        answer_prefix: The first members of every JSON response.
        key: Name, version and weights digest, by which accuracy is recorded.
        score_threshold: Default score threshold of objects; None where the model predicts no objects.
        deployment: Name of the deployment whose replicas have it.
        calls: Sends images to this version.
        augmented_views: The most images that one with test-time augmentation takes through the network.
        signal_length: Numbers in a signal, of a model that takes signals; None of one that takes images.
        takes_images: Whether it takes images or signals; a generator takes parameters alone.
    """

    name: str
    task: str
    kind: Kind
    version: str
    entry: dict[str, Any]
    identity: bytes
    answer_prefix: bytes
    key: ModelKey
    score_threshold: float | None
    deployment: str
    calls: ModelCalls
    augmented_views: int = 1
    signal_length: int | None = None
    takes_images: bool = True

    @property
    def is_experimental(self) -> bool:
        """Whether its answers are images that it makes, so that there is no ground truth to compare them with."""
        return KINDS[self.kind].is_experimental

    @property
    def labels(self) -> tuple[str, str, str]:
        """Task, name and version, as labels of metrics."""
        return self.task, self.name, self.version

    @classmethod
    def of(cls, entry: dict[str, Any], deployment: str, calls: ModelCalls) -> ServedModel:
        """Parses the description that a replica of a deployment sends."""
        key = name, version, _ = ModelKey(entry["name"], entry["version"], entry["weights_digest"])
        return cls(
            name=name,
            task=entry["task"],
            kind=kind_in(entry),
            version=version,
            entry=entry,
            identity=bytes.fromhex(entry["identity"]),
            answer_prefix=orjson.dumps({"model": name, "version": version})[:-1],
            key=key,
            score_threshold=_score_threshold(entry),
            deployment=deployment,
            calls=calls,
            augmented_views=entry.get("augmented_views", 1),
            signal_length=entry.get("preprocessing", {}).get("length"),
            takes_images="latent_size" not in entry.get("preprocessing", {}),
        )


def _score_threshold(entry: Mapping[str, Any]) -> float | None:
    kind = kind_in(entry)
    if "score_threshold" in KINDS[kind].ignored:
        return None
    told = complete(kind, {}, entry["defaults"], entry["class_names"])
    return getattr(told, "score_threshold", None)

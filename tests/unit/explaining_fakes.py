"""An explainer that answers at once, and a gateway in front of it."""

from __future__ import annotations

from base64 import b64encode
from typing import Any, Final

from fastapi import FastAPI

from services.answers.explanation import ExplanationItem, ExplanationOutcome
from services.answers.wire import Item
from services.errors import ServiceError
from services.gateway.app import create_app
from services.gateway.serving.registry import Registry
from services.model_deployment import ModelDeployment, ModelSpec
from services.settings import Settings
from services.topology import Topology
from tests.unit.gateway_fakes import FakeBackend, Signing, png

FOUND: dict[str, Any] = {
    "model": "pet-net", "version": "1", "task": "detection", "method": "gradcam", "layer": "head", "layers": ["head"],
    "image": {"height": 2, "width": 3}, "class_id": 2, "class_name": "dog", "score": 0.75, "box": [1.0, 0.0, 3.0, 2.0],
    "heat": {"height": 1, "width": 1, "area": [0.0, 0.0, 3.0, 2.0], "values": [[1.0]]},
}  # fmt: skip

PICTURE: Final = b64encode(png(7)).decode()
MAPS: dict[str, Any] = {
    **{name: FOUND[name] for name in ("model", "version", "task", "layer", "layers", "image")},
    "method": "features", "receptive_field": {"size": 3, "stride": 2}, "channels": 5, "shown": 1,
    "map": {"height": 1, "width": 2}, "tile": {"height": 48, "width": 96}, "tiles": [{"channel": 4, "x": 6, "y": 6}],
    "seen": {"rows": [[0.0, 2.0]], "columns": [[0.0, 1.5], [1.0, 3.0]]}, "sheet": PICTURE,
}  # fmt: skip
LAYERS: dict[str, Any] = {
    "model": "pet-net", "version": "1", "task": "detection", "input_shape": [3, 8, 8], "parameters": 28,
    "layers": [
        {
            "name": "stem", "type": "Conv2d", "call": 1, "output_shape": [1, 4, 4], "kernel": [3, 3], "stride": [2, 2],
            "dilation": [1, 1], "padding": [1, 1], "groups": 1, "parameters": 28,
            "receptive_field": {"whole_image": False, "size": [3, 3], "stride": [2, 2]},
            "has_maps": True, "per_region": False,
        },
        {
            "name": "head", "type": "Mean", "call": 1, "output_shape": [1], "kernel": None, "stride": None,
            "dilation": None, "padding": None, "groups": None, "parameters": 0,
            "receptive_field": {"whole_image": True, "size": [None, None], "stride": [None, None]},
            "has_maps": False, "per_region": False,
        },
    ],
    "filters": {"layer": "stem", "count": 1, "sheet": PICTURE},
}  # fmt: skip
"""As `services.answers.explanation.describe_layers` makes it."""
BODIES: Final = {"layers": LAYERS, "features": MAPS}
"""By method; other methods get `FOUND`."""


class FakeDetector(FakeBackend):
    """Finds a person and a dog."""

    names = ("pet-net",)
    entry = {**FakeBackend.entry, "task": "detection", "class_names": ["person", "cat", "dog"], "defaults": {}}  # noqa: RUF012

    def predictions_of(self, item: Item) -> list[dict[str, Any]]:
        return [
            {
                "box": {"x_min": x, "y_min": 0.0, "x_max": x + 1.0, "y_max": 2.0},
                "class_id": class_id,
                "class_name": self.entry["class_names"][class_id],
                "score": 0.75,
            }
            for class_id, x in ((0, 0.0), (2, 1.5))
        ]


class FakeExplainer:
    """Notes what it is asked, and answers with an outcome."""

    def __init__(self, outcome: ExplanationOutcome | ServiceError | None = None) -> None:
        self.asked: list[ExplanationItem] = []
        self.outcome = outcome

    async def explain(self, item: ExplanationItem) -> ExplanationOutcome:
        self.asked.append(item)
        if isinstance(self.outcome, ServiceError):
            raise self.outcome
        if self.outcome is not None:
            return self.outcome
        if item.view == "json":
            return ExplanationOutcome(BODIES.get(item.method, FOUND), None, None, {"explain": 12.5})
        return ExplanationOutcome({}, b"picture", None, {"explain": 12.5, "render": 1.0})


def explaining_registry(backend: FakeBackend) -> Registry:
    """The registry of one deployment, which has not been asked yet."""
    models = tuple(ModelSpec(name=f"{name}@1") for name in backend.names)
    deployment = ModelDeployment.model_construct(name="Fake", task=backend.entry["task"], models=models)
    return Registry(Topology.model_construct(deployments=(deployment,)), {"Fake": Signing(backend)}, 5.0)


def explaining_app(registry: Registry, explainer: FakeExplainer | None, **options: Any) -> FastAPI:
    """A gateway's application with these settings."""
    return create_app(Settings(**options), registry, None, explainer=explainer)

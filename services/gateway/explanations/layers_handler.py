"""The handler of `GET /v1/models/{name}/layers`: the layers of a network, listed by the explainer."""

from __future__ import annotations

from dataclasses import dataclass

import orjson
from starlette.requests import Request
from starlette.responses import Response

from models.catalog.version_names import join_name
from services.answers.explanation import ExplanationItem
from services.errors import rebuild
from services.gateway.explanations.explained_version import cold_version, refuse_makers, refuse_signals
from services.gateway.explanations.turns import Turns
from services.gateway.serving.registry import Registry


@dataclass(frozen=True, slots=True)
class LayersHandler:
    """Handles requests for the layers of a model.

    Attributes:
        registry: Knows the models.
        turns: Admits requests to the explainer.
    """

    registry: Registry
    turns: Turns

    async def __call__(self, request: Request, name: str) -> Response:
        """Handle one request. A model that is loaded on demand stays unloaded.

        Args:
            request: The request.
            name: Of a configured model, or `NAME@VERSION`.

        Raises:
            ServiceError: the layers cannot be listed; the message says why.
        """
        async with self.turns.open(request) as turn:
            opened = turn.opened
            turn.method = "layers"
            model, _ = self.registry.split(name)
            task = self.registry.task(model)
            refuse_makers(model, task)
            version = cold_version(self.registry, name)
            if version is None:
                served = self.registry.get(name)
                refuse_signals(served)
                version = served.version
            opened.task, opened.model, opened.version = task, model, version
            item = ExplanationItem.of_layers(join_name(model, version), opened.deadline_s)
            with self.turns.places.place(turn.caller.tenant), self.turns.computing(request):
                outcome = await self.turns.ask(item)
            if outcome.failure is not None:
                raise rebuild(*outcome.failure)
            ending = {"took_ms": round(opened.elapsed_s * 1e3, 2), "request_id": opened.request_id}
            content = orjson.dumps({**outcome.body, **ending})
            return turn.finish(Response(content, media_type="application/json"), outcome)

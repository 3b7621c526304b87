"""The handler of `POST /v1/explain`: from an HTTP request to an HTTP response."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response

from models.catalog.version_names import join_name
from models.drawing.picture import PictureFormat
from services.answers.explanation import ExplanationItem, ExplanationOutcome, View
from services.errors import ExplanationsOff, InvalidParameters, RequestError, ServiceError, rebuild
from services.gateway.bodies import Bodies
from services.gateway.disconnects import EndedWithClient
from services.gateway.explanations.calls import ExplainerCalls
from services.gateway.explanations.schemas import ExplainParameters
from services.gateway.inputs import read_input
from services.gateway.limits import read_timeout
from services.gateway.negotiation import PICTURES, choose_format
from services.gateway.serving.open_request import OpenRequest, open_request
from services.gateway.serving.predictor import CachePolicy, PredictionRequest
from services.gateway.serving.request_path import Caller, PredictionInput, RequestPath
from services.gateway.serving.served_model import ServedModel
from services.kinds import TASKS
from services.kinds.detection import BOX_MEMBERS
from services.settings import Settings
from services.telemetry import EXPLANATION_SECONDS, EXPLANATIONS

log = structlog.get_logger()

_BOXES: frozenset[str] = frozenset({"detection", "instance"})
"""Kinds of models whose predictions have a box."""


@dataclass(frozen=True, slots=True)
class ExplanationHandler:
    """Handles requests for explanations.

    Attributes:
        settings: Time limits and caps.
        path: Finds models, and predicts the objects that `box` counts.
        bodies: Reads request bodies.
        calls: The explainer; None where there is none.
    """

    settings: Settings
    path: RequestPath
    bodies: Bodies
    calls: ExplainerCalls | None

    async def __call__(self, request: Request) -> Response:
        """Handle one request.

        Raises:
            ServiceError: there is no explanation; the message says why.
        """
        if self.calls is None or not self.settings.explanations:
            raise ExplanationsOff("explanations are turned off on this server")
        caller, noted = Caller(request.state.tenant, request.state.request_id), _Noted()
        record = partial(_record, caller, noted)
        limiter = self.path.limiter
        async with open_request(
            limiter, lambda: read_timeout(request.headers, self.settings), record, caller.request_id
        ) as opened:
            with self.bodies.open(request) as body:
                given = await read_input(body, ExplainParameters, self.settings, opened.limit)
                read_ms = opened.elapsed_s * 1e3
                asked = given.parameters
                assert isinstance(asked, ExplainParameters)
                noted.method = asked.method
                view, picture_format = wanted_view(request, asked)
                served, image = await self._check(opened, given)
                with EndedWithClient(request), limiter.slot():
                    box = await self._box(opened, caller, served, image, request, asked)
                    name = join_name(served.name, served.version)
                    outcome = await self.calls.explain(
                        ExplanationItem(
                            name,
                            image,
                            asked.method,
                            asked.wanted_class,
                            box,
                            asked.layer,
                            view,
                            picture_format,
                            opened.deadline_s,
                        )
                    )
                    response = _respond(opened, outcome, picture_format)
            stages = {"read": read_ms, **outcome.stages_ms, "total": opened.elapsed_s * 1e3}
            response.headers["server-timing"] = ", ".join(f"{name};dur={ms:.2f}" for name, ms in stages.items())
            response.headers["vary"] = "Accept"
            return response

    async def _check(self, opened: OpenRequest, given: PredictionInput) -> tuple[ServedModel, bytes]:
        """Finds the version that is explained, and checks the header of the image."""
        if given.several:
            raise RequestError("an explanation is of one image: send one in a request")
        registry, name = self.path.registry, given.parameters.model
        model = registry.split(name)[0] if name is not None else registry.names[0]
        served, checked = await self.path.check(opened, registry.task(model), given)
        image = checked.images[0]
        if isinstance(image, ServiceError):
            raise image
        return served, image

    async def _box(
        self,
        opened: OpenRequest,
        caller: Caller,
        served: ServedModel,
        image: bytes,
        request: Request,
        asked: ExplainParameters,
    ) -> tuple[float, float, float, float, int] | None:
        """Box and class of the object that `box` counts, from the answer of the model, cached or not."""
        if asked.box is None:
            return None
        if served.kind not in _BOXES:
            raise InvalidParameters(f"{served.name} predicts no boxes: leave box out", {"parameter": "box"})
        if asked.method == "features":
            raise InvalidParameters(
                "method=features shows maps of the whole image: leave box out", {"parameter": "box"}
            )
        if asked.wanted_class is not None:
            message = "box says which object, and so its class: leave class out"
            raise InvalidParameters(message, {"parameter": "class"})
        defaults = TASKS[served.task].parameters()
        scope = "" if self.path.cache_shared else caller.tenant
        is_pinned = asked.model not in (None, served.name)
        prediction = PredictionRequest.of(served, defaults.complete, scope, is_pinned=is_pinned)
        policy = CachePolicy.of(request.headers.get("cache-control", ""))
        answer = await self.path.predictor.answer(prediction, image, policy, opened.deadline_s)
        objects = orjson.loads(answer.body)["predictions"]
        if asked.box >= len(objects):
            known = f"0 to {len(objects) - 1}" if len(objects) > 1 else "0" if objects else ""
            found = f"there are {known}" if known else f"{served.name} finds no object in this image"
            message = f"box {asked.box} is out of range: {found}"
            raise InvalidParameters(message, {"parameter": "box", "objects": len(objects)})
        chosen = objects[asked.box]
        x_min, y_min, x_max, y_max = (float(chosen["box"][member]) for member in BOX_MEMBERS)
        return x_min, y_min, x_max, y_max, int(chosen["class_id"])


@dataclass(slots=True)
class _Noted:
    """What is recorded of a request besides its outcome."""

    method: str = ""


def wanted_view(request: Request, asked: ExplainParameters) -> tuple[View, PictureFormat]:
    """Chooses what the client gets: by `format`, else by `render`, else by the `Accept` header.

    Raises:
        NotAcceptable: only pictures in other formats are acceptable.
        InvalidParameters: `format` and `render` contradict each other.
    """
    if asked.render == "cutout":
        raise InvalidParameters("render: there are true and false here", {"parameter": "render"})
    if asked.format is not None and asked.render is not None and (asked.format != "json") != asked.render:
        raise InvalidParameters("format and render contradict each other: leave one out", {"parameter": "render"})
    if asked.format == "json":
        return "json", "png"
    accept = ", ".join(request.headers.getlist("accept"))
    if asked.format is not None:
        explicit = any(media_type in accept for media_type in PICTURES)
        chosen = choose_format(accept, True) if explicit else "png"
        return asked.format, "jpeg" if chosen == "jpeg" else "png"
    chosen = choose_format(accept, asked.render)
    if chosen is None:
        return "json", "png"
    return "overlay", "jpeg" if chosen == "jpeg" and "image/jpeg" in accept else "png"


def _respond(opened: OpenRequest, outcome: ExplanationOutcome, picture_format: PictureFormat) -> Response:
    if outcome.failure is not None:
        raise rebuild(*outcome.failure)
    if outcome.picture is not None:
        return Response(outcome.picture, media_type=f"image/{picture_format}")
    ending = {"took_ms": round(opened.elapsed_s * 1e3, 2), "request_id": opened.request_id}
    return Response(orjson.dumps({**outcome.body, **ending}), media_type="application/json")


def _record(caller: Caller, noted: _Noted, opened: OpenRequest) -> None:
    EXPLANATIONS.labels(opened.model, noted.method, opened.outcome).inc()
    EXPLANATION_SECONDS.labels(opened.model, noted.method).observe(opened.elapsed_s)
    log.info(
        "explanation",
        request_id=caller.request_id,
        model=opened.model,
        version=opened.version,
        method=noted.method,
        outcome=opened.outcome,
        ms=round(opened.elapsed_s * 1e3, 2),
    )

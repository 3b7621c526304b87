"""The handler of `POST /v1/explain`: from an HTTP request to an HTTP response."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import orjson
from starlette.requests import Request
from starlette.responses import Response

from models.catalog.version_names import join_name
from models.drawing.picture import PictureFormat
from models.explaining.explanation import WITH_BOXES
from models.kinds import KINDS
from services.answers.explanation import ExplanationItem, ExplanationOutcome, View
from services.errors import InvalidParameters, RequestError, ServiceError, rebuild
from services.gateway.bodies import Bodies
from services.gateway.explanations.explained_version import cold_version, refuse_makers, refuse_signals
from services.gateway.explanations.schemas import ExplainParameters
from services.gateway.explanations.turns import Turns
from services.gateway.inputs import read_input
from services.gateway.negotiation import PICTURES, choose_format
from services.gateway.serving.open_request import OpenRequest
from services.gateway.serving.predictor import Answer, CachePolicy, PredictionRequest
from services.gateway.serving.request_path import Caller, PredictionInput, RequestPath
from services.gateway.serving.served_model import ServedModel
from services.kinds import TASKS
from services.kinds.detection import BOX_MEMBERS
from services.settings import Settings

_TASKS_WITH_BOXES: Final = frozenset(KINDS[kind].task for kind in WITH_BOXES)
"""Tasks of which some models predict boxes that can be explained."""


@dataclass(frozen=True, slots=True)
class ExplanationHandler:
    """Handles requests for explanations.

    Attributes:
        settings: Caps of images.
        path: Finds models, and predicts the objects that `box` counts.
        bodies: Reads request bodies.
        turns: Admits requests to the explainer.
    """

    settings: Settings
    path: RequestPath
    bodies: Bodies
    turns: Turns

    async def __call__(self, request: Request) -> Response:
        """Handle one request.

        Raises:
            ServiceError: there is no explanation; the message says why.
        """
        async with self.turns.open(request) as turn:
            opened = turn.opened
            with self.bodies.open(request) as body:
                given = await read_input(body, ExplainParameters, self.settings, opened.limit)
                turn.read_ms = opened.elapsed_s * 1e3
                asked = given.parameters
                assert isinstance(asked, ExplainParameters)
                turn.method = asked.method
                view, picture_format = wanted_view(request, asked)
                _refuse_contradictions(asked)
                with self.turns.places.place(turn.caller.tenant):
                    found = await self._find(opened, given, asked)
                    with self.turns.computing(request):
                        if asked.box is not None:
                            policy = CachePolicy.of(request.headers.get("cache-control", ""))
                            found = await self._with_box(opened, turn.caller, found, asked, policy)
                        item = ExplanationItem(
                            found.name,
                            found.image,
                            asked.method,
                            asked.wanted_class,
                            found.box,
                            asked.layer,
                            asked.call,
                            view,
                            picture_format,
                            opened.deadline_s,
                        )
                        outcome = await self.turns.ask(item)
                        response = _respond(opened, outcome, picture_format)
            response.headers["vary"] = "Accept"
            return turn.finish(response, outcome)

    async def _find(self, opened: OpenRequest, given: PredictionInput, asked: ExplainParameters) -> _Explained:
        """Finds the version that is explained, and checks the header of the image.

        Only `box` needs the served model. Without it, a model that is loaded on demand stays unloaded.
        """
        if given.several:
            raise RequestError("an explanation is of one image: send one in a request")
        registry = self.path.registry
        name = asked.model if asked.model is not None else registry.names[0]
        model = registry.split(name)[0]
        task = registry.task(model)
        refuse_makers(model, task)
        if asked.box is not None and task not in _TASKS_WITH_BOXES:
            raise _no_boxes(model)
        version = cold_version(registry, name) if asked.box is None else None
        if version is not None:
            opened.task, opened.model, opened.version, opened.images = task, model, version, len(given.images)
            checked = await self.path.inspector.check(given.images, opened.limit)
            return _Explained(join_name(model, version), _readable(checked[0]), None)
        current = registry.current(model)
        if current is not None:
            refuse_signals(current)
        served, given = await self.path.check(opened, task, given)
        return _Explained(join_name(served.name, served.version), _readable(given.images[0]), served)

    async def _with_box(
        self, opened: OpenRequest, caller: Caller, found: _Explained, asked: ExplainParameters, policy: CachePolicy
    ) -> _Explained:
        """Adds the object that `box` counts, from the answer of the model, cached or not, and the version of it."""
        served = found.served
        assert served is not None and asked.box is not None
        if served.kind not in WITH_BOXES:
            raise _no_boxes(served.name)
        defaults = TASKS[served.task].parameters()
        scope = "" if self.path.cache_shared else caller.tenant
        is_pinned = asked.model not in (None, served.name)
        prediction = PredictionRequest.of(served, defaults.complete, scope, is_pinned=is_pinned)
        answer = await self.path.predictor.answer(prediction, found.image, policy, opened.deadline_s)
        answering = answer.model  # during a rolling update it may be another version
        opened.version = answering.version
        name = join_name(answering.name, answering.version)
        return _Explained(name, found.image, answering, _box(answer, asked.box))


class _Explained(NamedTuple):
    """What is explained.

    Attributes:
        name: Name of the model as `NAME@VERSION`.
        image: The encoded file.
        served: The version as it is served; None where it is not loaded.
        box: See `ExplanationItem.box`.
    """

    name: str
    image: bytes
    served: ServedModel | None
    box: tuple[float, float, float, float, int] | None = None


def _refuse_contradictions(asked: ExplainParameters) -> None:
    """Refuse parameters that exclude each other, before a model is loaded or asked."""
    if asked.method == "features":
        for parameter, given in (("box", asked.box), ("class", asked.wanted_class)):
            if given is not None:
                message = f"method=features shows maps of the whole image: leave {parameter} out"
                raise InvalidParameters(message, {"parameter": parameter})
    elif asked.call > 1:
        raise InvalidParameters("call is for method=features: leave it out", {"parameter": "call"})
    if asked.box is not None and asked.wanted_class is not None:
        message = "box says which object, and so its class: leave class out"
        raise InvalidParameters(message, {"parameter": "class"})


def _no_boxes(model: str) -> InvalidParameters:
    message = f"box is for detectors and instance segmenters: leave it out for {model}"
    return InvalidParameters(message, {"parameter": "box"})


def _readable(image: bytes | ServiceError) -> bytes:
    if isinstance(image, ServiceError):
        raise image
    return image


def _box(answer: Answer, index: int) -> tuple[float, float, float, float, int]:
    """Box and class of an object in the answer of the model.

    Raises:
        InvalidParameters: there are fewer objects.
    """
    objects = orjson.loads(answer.body)["predictions"]
    if index >= len(objects):
        known = f"0 to {len(objects) - 1}" if len(objects) > 1 else "0" if objects else ""
        found = f"there are {known}" if known else f"{answer.model.name} finds no object in this image"
        message = f"box {index} is out of range: {found}"
        raise InvalidParameters(message, {"parameter": "box", "objects": len(objects)})
    chosen = objects[index]
    x_min, y_min, x_max, y_max = (float(chosen["box"][member]) for member in BOX_MEMBERS)
    return x_min, y_min, x_max, y_max, int(chosen["class_id"])


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

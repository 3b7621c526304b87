"""The FastAPI application of the gateway: its routes and their dependencies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from typing import Any, Final, Protocol

from fastapi import FastAPI
from fastapi.responses import Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.requests import Request

from services.gateway.access import Access
from services.gateway.accuracy.answer_log import AnswerLog
from services.gateway.accuracy.drift_watch import DriftWatch
from services.gateway.accuracy.feedback import FeedbackHandler
from services.gateway.accuracy.feedback_store import FeedbackStore, MemoryStore
from services.gateway.accuracy.gauges import accuracy_gauges, keep_told
from services.gateway.accuracy.overview import AccuracyWatch
from services.gateway.administration import AdministrationHandler, administration_router
from services.gateway.analysis.handler import AnalysisHandler
from services.gateway.analysis.parts import Analyst
from services.gateway.analysis.route import analysis_router
from services.gateway.bodies import Bodies
from services.gateway.byte_budget import ByteBudget
from services.gateway.chunked_responses import ChunkedResponses
from services.gateway.cors import Cors
from services.gateway.direct_route import direct_router
from services.gateway.explanations.calls import ExplainerCalls
from services.gateway.explanations.handler import ExplanationHandler
from services.gateway.explanations.layers_handler import LayersHandler
from services.gateway.explanations.route import explanation_router
from services.gateway.explanations.turns import Turns
from services.gateway.hot_routes import HotRoutes
from services.gateway.limits import ApiKeys, RateLimiter
from services.gateway.middleware import DOCUMENT_ASSETS, RequestMiddleware, routing_error
from services.gateway.open_inference.grpc_front import GrpcFront
from services.gateway.open_inference.http_front import HttpFront
from services.gateway.open_inference.inference import Inference
from services.gateway.open_inference.repository import Repository
from services.gateway.open_inference.routes import add_open_inference
from services.gateway.openapi import (
    ACCURACY_EXAMPLE,
    FEEDBACK_EXAMPLE,
    describe_answer,
    describe_errors,
    describe_feedback,
)
from services.gateway.playground.routes import playground_routes, public_paths
from services.gateway.prediction import PredictionHandler
from services.gateway.prediction_routes import add_absent_tasks, add_task, served_apis
from services.gateway.rendering import Renderer
from services.gateway.responses import Responder
from services.gateway.schemas import (
    AccuracyOverview,
    FeedbackAnswer,
    Liveness,
    ModelList,
    Readiness,
)
from services.gateway.serving.admission import ConcurrencyLimiter
from services.gateway.serving.cache import ResultCache
from services.gateway.serving.inspection import Inspector
from services.gateway.serving.model_versions import ModelVersions
from services.gateway.serving.offload import Workers
from services.gateway.serving.on_demand import OnDemand
from services.gateway.serving.predictor import Predictor
from services.gateway.serving.registry import Registry
from services.gateway.serving.request_path import RequestPath
from services.gateway.serving.traffic_log import TrafficLog
from services.gateway.shadow.disagreements import Disagreements
from services.gateway.shadow.shadow_runner import ShadowRunner
from services.gateway.version_metrics import version_metrics_router
from services.machine.stack_token import read_token
from services.rollout.traffic_store import MemoryTrafficStore, TrafficStore
from services.settings import Settings
from services.telemetry import METRICS_CONTENT_TYPE, render_metrics

READERS: Final = 2
"""Threads of one gateway that parse, decompress or join bodies."""

DESCRIPTION = """Image classification, object detection and segmentation over HTTP. Send an image file as it is:

    curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' localhost:8000/v1/classify
"""


def create_app(
    settings: Settings,
    registry: Registry,
    cache: ResultCache | None,
    store: FeedbackStore | None = None,
    traffic_store: TrafficStore | None = None,
    explainer: ExplainerCalls | None = None,
    *,
    under_ray: bool = False,
) -> FastAPI:
    """Creates the FastAPI application of a gateway.

    Args:
        settings: Limits, keys and caps.
        registry: The served models and their backends.
        cache: Result cache; None: no cache.
        store: Answers for feedback, and feedback; None: in the memory of this process.
        traffic_store: Counts of requests by version; None: likewise.
        explainer: Where explanations are made; None: nowhere.
        under_ray: Whether Ray Serve itself sends `X-Request-ID`.
    """
    readers = Workers(READERS, "read")
    bodies = Bodies(settings, readers)
    admission = ConcurrencyLimiter(settings)
    store, traffic_store = store or MemoryStore(), traffic_store or MemoryTrafficStore()
    drift = DriftWatch(settings.drift_window)
    inspector = Inspector(settings)
    predictor = Predictor(cache, drift, registry)
    receipts = AnswerLog(store, cache, registry, settings)
    traffic = TrafficLog(traffic_store)
    disagreements = Disagreements(store, settings.feedback_ttl_s)
    shadows = ShadowRunner(lambda shadow, item: shadow.calls.submit_apart(item), disagreements)
    versions = ModelVersions(registry)
    on_demand = OnDemand(registry, versions, settings.load_timeout_s, settings.load_free_bytes)
    path = RequestPath(
        registry, inspector, predictor, admission, receipts, traffic, shadows.offer, settings.cache_shared, on_demand
    )
    accuracy = AccuracyWatch(registry, store, drift, settings)
    feedback = FeedbackHandler(settings, bodies, admission, receipts, store, accuracy)
    renderer, responder = Renderer(settings), Responder(readers)
    limiter = _rate_limiter(settings)
    access = Access(ApiKeys(settings.all_api_keys(), settings.all_admin_keys()), limiter, settings.open_probes)
    lifespan = _lifespan(
        watches=(registry.watch, accuracy.watch, partial(keep_told, registry, accuracy), traffic.keep, shadows.run),
        threads=(readers, inspector, renderer, feedback, shadows),
        connected=[each for each in (cache, store, traffic_store, limiter) if each is not None],
    )
    app = _without_routes(lifespan)
    handlers = [PredictionHandler(api, settings, path, bodies, renderer, responder) for api in served_apis(registry)]
    _add_middleware(app, handlers, settings, access, under_ray)
    for handler in handlers:
        add_task(app, handler.api, handler)
    add_absent_tasks(app, registry)
    analyst = Analyst(path, settings, responder)
    app.include_router(analysis_router(AnalysisHandler(settings, analyst, bodies, renderer)))
    turns = Turns(settings, admission, explainer)
    explain, list_layers = ExplanationHandler(settings, path, bodies, turns), LayersHandler(registry, turns)
    app.include_router(explanation_router(explain, list_layers))
    inference, repository = Inference(path, settings, readers), Repository(registry, versions, admission, settings)
    _add_inference(app, inference, repository, settings, bodies, access)
    _add_accuracy(app, feedback, accuracy)
    app.include_router(administration_router(AdministrationHandler(settings, bodies, versions)))
    app.include_router(version_metrics_router(registry, traffic_store, accuracy, disagreements))
    _add_models(app, registry, versions, accuracy)
    _add_probes(app, registry, admission, accuracy)
    if settings.playground:
        app.router.routes.extend(playground_routes())
    return app


def _add_inference(
    app: FastAPI, inference: Inference, repository: Repository, settings: Settings, bodies: Bodies, access: Access
) -> None:
    """The Open Inference Protocol over HTTP, and over gRPC for the server that is started beside the app."""
    add_open_inference(app, HttpFront(inference, repository, settings, bodies))
    answers, token = ByteBudget(settings.max_answer_bytes, "responses of streams"), read_token(settings.run_dir)
    app.state.grpc_front = GrpcFront(inference, repository, settings, bodies, answers, access, token)


def _rate_limiter(settings: Settings) -> RateLimiter | None:
    if not settings.rate_limit:
        return None
    return RateLimiter(settings.rate_limit, settings.redis_url, settings.cache_timeout_s)


class _Threads(Protocol):
    def close(self) -> None: ...


class _Connected(Protocol):
    async def close(self) -> None: ...


def _lifespan(
    watches: Sequence[Callable[[], Coroutine[Any, Any, None]]],
    threads: Sequence[_Threads],
    connected: Sequence[_Connected],
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """What runs as long as the application, and what it closes at its end.

    Args:
        watches: Start coroutines that run until they are cancelled.
        threads: With pools of threads.
        connected: With connections to other servers.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        tasks = [asyncio.create_task(watch()) for watch in watches]
        yield
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        for each in threads:
            each.close()
        for each in connected:
            await each.close()

    return lifespan


def _without_routes(lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]]) -> FastAPI:
    """An application that serves its documentation only."""
    app = FastAPIOffline(
        title="Tapetum",
        version="1",
        description=DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,
        static_url=DOCUMENT_ASSETS,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # which FastAPI looks up for each request
    )
    app.add_exception_handler(HTTPException, routing_error)
    return app


def _add_middleware(
    app: FastAPI, handlers: Sequence[PredictionHandler], settings: Settings, access: Access, under_ray: bool
) -> None:
    """Adds what wraps every request; the last one added is the outermost."""
    app.add_middleware(
        HotRoutes,  # pyright: ignore[reportArgumentType]  # a frozen dataclass is a factory, too
        handlers={handler.api.path: handler for handler in handlers},
    )
    app.add_middleware(
        ChunkedResponses,  # pyright: ignore[reportArgumentType]  # a frozen dataclass is a factory, too
        budget=ByteBudget(settings.max_answer_bytes, "answers"),
        timeout_s=settings.send_timeout_s,
    )
    app.add_middleware(
        RequestMiddleware,  # pyright: ignore[reportArgumentType]  # a frozen dataclass is a factory, too
        access=access,
        echo_request_id=not under_ray,
        public_paths=public_paths() if settings.playground else frozenset(),
    )
    if settings.cors_origins:
        app.add_middleware(Cors, origins=settings.cors_origins)


def _add_accuracy(app: FastAPI, handler: FeedbackHandler, accuracy: AccuracyWatch) -> None:
    async def feedback(request: Request) -> Response:
        """Ground truth for an image that was answered, by the id of that request.

        It counts towards the live accuracy of the model. No image is kept: the ground truth is compared with the answer
        at once.
        """
        return await handler(request)

    router = direct_router()
    router.add_api_route(
        "/v1/feedback",
        feedback,
        methods=["POST"],
        summary="Ground truth for an earlier answer",
        operation_id="feedback",
        tags=["accuracy"],
        responses={
            200: {"model": FeedbackAnswer, **describe_answer("What the answer got right.", FEEDBACK_EXAMPLE)},
            **describe_errors(400, 401, 403, 404, 408, 409, 413, 414, 415, 422, 429, 431, 503, 504),
        },
        openapi_extra=describe_feedback(),
    )
    app.include_router(router)

    responses = {200: describe_answer("Of every served model.", ACCURACY_EXAMPLE), **describe_errors(401, 403, 429)}

    @app.get("/v1/accuracy", tags=["accuracy"], response_model=AccuracyOverview, responses=responses)
    async def show_accuracy() -> Any:
        """Of every served model: what evaluations measured, what feedback says, and how answers have shifted."""
        return {"models": accuracy.overview()}


def _add_models(app: FastAPI, registry: Registry, versions: ModelVersions, accuracy: AccuracyWatch) -> None:
    @app.get("/v1/models", tags=["models"], response_model=ModelList, responses=describe_errors(401, 403, 429))
    async def list_models() -> Any:
        """Catalog entries of the models, without their class names; and the states of all versions.

        Those of versions that are loaded come first, and have the device and precision that they run in.
        """
        entries = [*registry.entries(), *versions.unserved_entries()]
        return {"models": [_without_names(entry) for entry in entries], "versions": versions.statuses()}

    @app.get("/v1/models/{name:path}", tags=["models"], responses=describe_errors(401, 403, 404, 429, 503))
    async def show_model(name: str) -> dict[str, Any]:
        """The whole catalog entry of a model, or of `NAME@VERSION`: weights, preprocessing, licence, class names …

        `measured_accuracy` has the evaluations that were recorded here, and `versions` the states of all versions.
        """
        if name in registry.names and versions.is_unserved(name):
            statuses = [status.model_dump() for status in versions.statuses_of(name)]
            return {**versions.unserved_entry(name), "measured_accuracy": [], "versions": statuses}
        model = registry.get(name)
        return {
            **model.entry,
            "measured_accuracy": accuracy.measured_accuracy(model),
            "versions": [status.model_dump() for status in versions.statuses_of(model.name)],
        }


def _without_names(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key != "class_names"}


def _add_probes(app: FastAPI, registry: Registry, admission: ConcurrencyLimiter, accuracy: AccuracyWatch) -> None:
    @app.get("/healthz", tags=["probes"])
    async def healthz() -> Liveness:
        """Liveness of the gateway; the models are not checked."""
        return Liveness()

    @app.get("/readyz", tags=["probes"], responses={503: {"model": Readiness, "description": "Not ready."}})
    async def readyz(response: Response) -> Readiness:
        """Whether every configured model is warm and answers, asked of its replicas within the last second."""
        models = await registry.readiness()
        ready = all(models.values()) and not admission.is_draining
        if not ready:
            response.status_code = 503
            response.headers["retry-after"] = "1"
        return Readiness(ready=ready, models=models)

    @app.get("/metrics", tags=["probes"], response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """Metrics of all processes of this node, in Prometheus' text format."""
        told = accuracy_gauges(registry, accuracy)
        return Response(await asyncio.to_thread(render_metrics, told), media_type=METRICS_CONTENT_TYPE)

"""`GET /v1/models/{name}/traffic` and `/disagreements`: what the versions of a model have answered, for rollouts."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request

from services.errors import PlanUnavailable
from services.gateway.accuracy.overview import AccuracyWatch
from services.gateway.openapi import describe_errors
from services.gateway.schemas import DisagreementList, TrafficOverview
from services.gateway.serving.registry import Registry
from services.gateway.shadow.disagreements import Disagreements
from services.rollout.traffic import Traffic
from services.rollout.traffic_store import TrafficStore, TrafficStoreFailed


def version_metrics_router(
    registry: Registry, store: TrafficStore, accuracy: AccuracyWatch, disagreements: Disagreements
) -> APIRouter:
    """The routes of the metrics by version.

    Args:
        registry: Knows the models.
        store: Counts of requests.
        accuracy: Accuracy by feedback.
        disagreements: Of shadows.
    """
    router = APIRouter(tags=["models"])

    @router.get(
        "/v1/models/{name:path}/traffic",
        response_model=TrafficOverview,
        responses=describe_errors(401, 403, 404, 429, 503),
    )
    async def show_traffic(name: str) -> Any:
        """Requests, failures and latencies of the versions of a model, as counts that only grow, and live accuracy."""
        model, _ = registry.split(name)
        try:
            counts = await store.read(model)
        except TrafficStoreFailed:
            raise PlanUnavailable("the store of request counts is down or slow; try again") from None
        live = {served.version: accuracy.live(served) for served in registry.versions(model)}
        versions = [
            {
                "version": version,
                "traffic": counts.get(version, Traffic()).to_dict(),
                "live": (found := live.get(version)) and found.to_dict(),
            }
            for version in dict.fromkeys((*live, *counts))
        ]
        return {"model": model, "versions": versions}

    @router.get(
        "/v1/models/{name:path}/disagreements",
        response_model=DisagreementList,
        responses=describe_errors(401, 403, 404, 429, 503),
    )
    async def list_disagreements(request: Request, name: str) -> Any:
        """Images on which a shadow disagrees with the version that answered, by request id, the newest first.

        Send feedback for them. A client gets those of its own requests, an administrator those of all.
        """
        model, _ = registry.split(name)
        tenant = None if request.state.admin else request.state.tenant
        found = await disagreements.list(model, tenant)
        return {"model": model, "disagreements": [one.to_dict() for one in found]}

    return router

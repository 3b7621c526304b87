"""The state of an application on a cluster, from Ray Serve's HTTP API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.local.failure import find_reason


@dataclass(frozen=True, slots=True)
class ApplicationState:
    """An application at one moment.

    Attributes:
        status: `DEPLOYING`, `RUNNING`, `UNHEALTHY`, `DEPLOY_FAILED` …; `NOT_STARTED` where there is none.
        deployments: Name and replicas of each, such as `Gateway 1/2`: those that run, those that are wanted.
        reason: Why it is unhealthy; empty if it is healthy or Ray Serve gives no message.
        deployed_at_s: Unix time of the latest deployment by the cluster's clock; 0.0 where there is none.
        nodes: Addresses of nodes that take requests.
    """

    status: str = "NOT_STARTED"
    deployments: tuple[str, ...] = ()
    reason: str = ""
    deployed_at_s: float = 0.0
    nodes: tuple[str, ...] = ()

    @classmethod
    def of(cls, details: Mapping[str, Any], application: str) -> ApplicationState:
        """The state out of the answer to `GET /api/serve/applications/`."""
        proxies = (details.get("proxies") or {}).values()
        nodes = tuple(sorted(proxy["node_ip"] for proxy in proxies if proxy["status"] == "HEALTHY"))
        found = (details.get("applications") or {}).get(application)
        if found is None:
            return cls(nodes=nodes)
        parts = found.get("deployments") or {}
        messages = [part["message"] for part in parts.values() if part.get("message")] or [found.get("message") or ""]
        return cls(
            status=found["status"],
            deployments=tuple(_replicas(name, part) for name, part in sorted(parts.items())),
            reason="" if found["status"] == "RUNNING" or not any(messages) else find_reason(messages),
            deployed_at_s=found.get("last_deployed_time_s") or 0.0,
            nodes=nodes,
        )

    def line(self) -> str:
        """The state in one line."""
        line = f"{self.status}: {', '.join(self.deployments)}" if self.deployments else self.status
        return f"{line} ({self.reason})" if self.reason else line


def _replicas(name: str, part: Mapping[str, Any]) -> str:
    running = sum(replica["state"] == "RUNNING" for replica in part.get("replicas") or ())
    return f"{name} {running}/{part.get('target_num_replicas', '?')}"

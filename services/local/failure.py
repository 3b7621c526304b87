"""Extracts the reason of a failed start, in one line."""

from __future__ import annotations

from collections.abc import Iterable


def explain_failure(application: str, message: str) -> str:
    """The reason why the application did not start, in one line, from its status in Ray Serve."""
    from ray import serve as ray_serve

    status = ray_serve.status().applications.get(application)
    texts = [part.message for part in status.deployments.values() if part.message] if status else []
    return f"a deployment did not start: {find_reason(texts or [message])}"


def find_reason(messages: Iterable[str]) -> str:
    """The last line with an error of messages with tracebacks; or else the last line."""
    lines = [line.strip() for line in "\n".join(messages).splitlines() if line.strip()]
    reasons = [line for line in lines if "Error" in line.partition(":")[0] or "models.errors" in line]
    return (reasons or lines or ["no reason is given"])[-1]


def explain_haproxy(message: str) -> str:
    """The reason why HAProxy did not start, in one line, from its output."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    alerts = [line.partition(": ")[2] for line in lines if line.startswith("[ALERT]")]
    return f"HAProxy did not start: {(alerts or lines)[-1]}"

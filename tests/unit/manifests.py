"""Reads the Kubernetes manifests of this project."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from tests.checkout import ROOT

KUBERNETES: Final = ROOT / "deploy" / "kubernetes"
OVERLAYS: Final = ("cpu", "gpu", "high-availability")


def documents(path: Path) -> list[Any]:
    """All documents of a YAML file."""
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]


def base_documents() -> list[dict[str, Any]]:
    """All objects of the base, before its patches."""
    return [
        document
        for path in sorted((KUBERNETES / "base").glob("*.yaml"))
        if path.name not in ("kustomization.yaml", "serve-config.yaml")
        for document in documents(path)
    ]


def of_kind(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [each for each in objects if each["kind"] == kind]


def pod_templates(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Component → template, of all pods that come of the objects."""
    templates = [template for each in objects for template in _templates_of(each)]
    return {template["metadata"]["labels"]["app.kubernetes.io/component"]: template for template in templates}


def ray_templates(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Those of the nodes of Ray: head, gateway, models."""
    return pod_templates(of_kind(objects, "RayService"))


def _templates_of(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    spec = document.get("spec", {})
    if document["kind"] == "RayService":
        cluster = spec["rayClusterConfig"]
        yield from (group["template"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]))
    elif document["kind"] == "CronJob":
        yield spec["jobTemplate"]["spec"]["template"]
    elif document["kind"] in ("Deployment", "StatefulSet"):
        yield spec["template"]

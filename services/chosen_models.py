"""The configuration of `tapetum serve --model NAME …`: deployments for the models that are named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from models.catalog.lookup import CatalogEntry, find
from models.entries import Task
from models.errors import ModelsError
from models.files import replaced
from services.configuration import TopologyError, validate
from services.model_deployment import ModelDeployment, ModelSpec
from services.serve_file import ServeFile
from services.topology import Topology

_NAMES = {
    "classification": "Classifier",
    "detection": "Detector",
    "keypoints": "PoseEstimator",
    "segmentation": "Segmenter",
    "stylization": "Stylizer",
    "generation": "Generator",
}


def with_models(config: ServeFile, names: Sequence[str]) -> ServeFile:
    """The same configuration for other models: one deployment for each of their tasks, and all of them loaded.

    Args:
        config: Its first deployment of a task gives device, batch size and resources; where it has none of a task, its
            very first.
        names: Names of the catalog; the first one of a task answers requests that name none.

    Raises:
        TopologyError: a name is not in the catalog, or its card is broken.
    """
    by_task: dict[Task, list[str]] = {}
    for name in dict.fromkeys(names):
        by_task.setdefault(_entry(name).task, []).append(name)
    topology = config.topology
    deployments = tuple(_deployment(topology, task, models) for task, models in by_task.items())
    changed = topology.model_copy(update={"deployments": deployments, "preload": None, "version_policy": {}})
    return config.with_topology(validate(Topology, changed.model_dump(exclude_unset=True), "--model"))


def describe(deployment: ModelDeployment) -> str:
    """What a deployment serves, and how, in a line."""
    models = ", ".join(spec.name for spec in deployment.models)
    return f"{deployment.name}: {models} on {deployment.device}, batches of up to {deployment.max_batch_size}"


def save(config: ServeFile, path: Path) -> None:
    """Write a configuration to a file that `tapetum serve --config` reads.

    Raises:
        OSError: it cannot be written.
    """
    with replaced(path) as file:
        file.write(yaml.safe_dump(config.to_document(), sort_keys=False).encode())


def _deployment(topology: Topology, task: Task, names: Sequence[str]) -> ModelDeployment:
    of_task = [deployment for deployment in topology.deployments if deployment.task == task]
    template = (of_task or topology.deployments)[0]
    specs = tuple(ModelSpec(name=name) for name in names)
    changes = {"name": _NAMES.get(task, task.capitalize()), "task": task, "models": specs}
    return template.model_copy(update=changes)


def _entry(name: str) -> CatalogEntry:
    try:
        return find(name)
    except ModelsError as error:
        raise TopologyError(f"--model {name[:80]}: {error}") from None

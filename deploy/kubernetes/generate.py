"""Writes the parts of the manifests that come from other files of this project.

    python -m deploy.kubernetes.generate

`serve-config.yaml` of the base and of each overlay is `deploy/serve/config.yaml` with the changes of `VARIANTS`, as a
patch of `spec.serveConfigV2`. `prometheus-rules.yaml` holds the rules of `deploy/prometheus/rules`. A test holds them
equal.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import yaml

from services.serve_file import ServeFile
from services.settings import Settings

HERE: Final = Path(__file__).parent
SERVE_CONFIG: Final = HERE.parent / "serve" / "config.yaml"
RULES: Final = HERE.parent / "prometheus" / "rules"

_LONGEST_REQUEST_S: Final = Settings.model_fields["max_request_timeout_s"].default
_GPU_SHARES: Final = {"Classifier": 0.2, "Detector": 0.3, "PoseEstimator": 0.2, "Segmenter": 0.3}
"""Of one GPU, which a replica of each deployment then shares."""
_GPU_BATCHES: Final = {"Classifier": 32, "Detector": 16, "PoseEstimator": 16, "Segmenter": 16}

_EXPLAINER_BYTES: Final = 3 * 2**30
"""Of one process, which keeps three models in float32 and the maps of one at a time."""


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks."""


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _block)


def base(config: dict[str, Any]) -> None:
    """Listen beyond loopback, place gateways and models in worker groups, and let the longest request end.

    All models are loaded at the start: a new replica has none that its first request would have to wait for.
    """
    config["http_options"]["host"] = "0.0.0.0"
    args = config["applications"][0]["args"]
    args["topology"] = "split"
    args.pop("preload")
    gateway, deployments = _parts(config)
    gateway |= {"num_cpus": 1, "resources": {"gateway": 1}, "graceful_shutdown_timeout_s": _LONGEST_REQUEST_S}
    args["explainer"] = {"resources": {"models": 1}, "memory": _EXPLAINER_BYTES}  # the head has too little memory
    for deployment in deployments:
        deployment |= {"num_cpus": 2, "resources": {"models": 1}, "graceful_shutdown_timeout_s": _LONGEST_REQUEST_S}


def cpu(config: dict[str, Any]) -> None:
    """Let replicas follow the load; the autoscaler of Ray adds pods for those that find no room."""
    gateway, deployments = _parts(config)
    _scale(gateway, 1, 4, 64)
    for deployment in deployments:
        _scale(deployment, 1, 4, 4)


def gpu(config: dict[str, Any]) -> None:
    """Give each model deployment a share of a GPU, and batches that fill it."""
    gateway, deployments = _parts(config)
    _scale(gateway, 1, 8, 64)
    for deployment in deployments:
        name = deployment["name"]
        _scale(deployment, 1, 4, 4)
        deployment |= {"num_cpus": 1, "device": "cuda", "num_gpus": _GPU_SHARES[name]}
        deployment["max_batch_size"] = _GPU_BATCHES[name]
        if "max_batch_pixels" in deployment:
            deployment["max_batch_pixels"] = 4 * 2**20


def high_availability(config: dict[str, Any]) -> None:
    """Run two replicas of everything at least, on nodes of their own, so that one may be lost."""
    gateway, deployments = _parts(config)
    _scale(gateway, 2, 8, 64)
    gateway["max_replicas_per_node"] = 1
    for deployment in deployments:
        _scale(deployment, 2, 8, 4)
        deployment["max_replicas_per_node"] = 1


VARIANTS: Final[dict[str, tuple[Callable[[dict[str, Any]], None], ...]]] = {
    "base": (base,),
    "overlays/cpu": (base, cpu),
    "overlays/gpu": (base, gpu),
    "overlays/high-availability": (base, high_availability),
}
"""Folder → changes, in order."""


def serve_config(folder: str) -> dict[str, Any]:
    """The Serve configuration of a variant; raises where `services.topology` would refuse it."""
    config = copy.deepcopy(yaml.safe_load(SERVE_CONFIG.read_text(encoding="utf-8")))
    for change in VARIANTS[folder]:
        change(config)
    ServeFile.model_validate(config)
    return config


def serve_patch(folder: str) -> str:
    """The text of `serve-config.yaml`: a patch of the RayService."""
    return _document(
        {
            "apiVersion": "ray.io/v1",
            "kind": "RayService",
            "metadata": {"name": "tapetum"},
            "spec": {"serveConfigV2": _dump(serve_config(folder))},
        }
    )


def prometheus_rules() -> str:
    """The text of `prometheus-rules.yaml`: all groups of all files of rules as one PrometheusRule."""
    groups = [
        group
        for path in sorted(RULES.glob("*.yml"))
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    ]
    return _document(
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": "tapetum", "labels": {"app.kubernetes.io/part-of": "tapetum"}},
            "spec": {"groups": groups},
        }
    )


def generated() -> dict[Path, str]:
    """Path → text of every file that this program writes."""
    files = {HERE / folder / "serve-config.yaml": serve_patch(folder) for folder in VARIANTS}
    return {**files, HERE / "components" / "monitoring" / "prometheus-rules.yaml": prometheus_rules()}


def _parts(config: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    args = config["applications"][0]["args"]
    return args["gateway"], args["deployments"]


def _scale(part: dict[str, Any], least: int, most: int, target: int) -> None:
    part.pop("num_replicas", None)
    part["autoscaling"] = {"min_replicas": least, "max_replicas": most, "target_ongoing_requests": target}


def _dump(value: Any) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def _document(value: dict[str, Any]) -> str:
    return "# Written by `python -m deploy.kubernetes.generate`; change its sources, not this.\n" + _dump(value)


if __name__ == "__main__":
    for path, text in generated().items():
        path.write_text(text, encoding="utf-8")
        print(path)

"""The documents tell the truth: settings, configuration keys, errors, metrics and the layout are what the code has."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
from prometheus_client import REGISTRY
from pydantic import BaseModel

from models import errors as model_errors
from services import errors, telemetry
from services.kinds.detection import DetectParameters
from services.kinds.keypoints import PoseRequest
from services.kinds.segmentation import SegmentParameters
from services.local.stack import DEFAULT_CONFIG
from services.model_deployment import ModelDeployment, TritonOptions
from services.nodes.environment import CLUSTER_DEFAULTS, machine_defaults
from services.replica_scale import ExplainerScale, GatewayScale
from services.serve_file import read_serve_file
from services.settings import Settings
from tests.checkout import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def document(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def shown(value: Any) -> str:
    """A default, as the tables write it."""
    if value is None or value == ():
        return "–"
    if isinstance(value, int) and not isinstance(value, bool) and value >= 2**20 and value % 2**20 == 0:
        return f"{value // 2**20} MiB"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def rows(kind: type[BaseModel], prefix: str = "") -> list[str]:
    return [
        f"| `{prefix}{name.upper() if prefix else name}` | "
        f"{'–' if field.is_required() else shown(field.get_default())} | {field.description} |"
        for name, field in kind.model_fields.items()
        if field.description
    ]


@pytest.mark.parametrize("row", rows(Settings, "TAPETUM_"))
def test_every_setting_is_in_its_table(row: str):
    assert row in document("settings.md")


def test_every_setting_has_a_description():
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize("row", rows(GatewayScale) + rows(ExplainerScale) + rows(ModelDeployment))
def test_every_configuration_key_is_in_its_table(row: str):
    assert row in document("configuration.md")


@pytest.mark.parametrize("row", rows(TritonOptions))
def test_every_key_of_a_triton_server_is_in_its_table(row: str):
    assert row in document("triton.md")


@pytest.mark.parametrize("row", rows(DetectParameters))
def test_every_parameter_of_a_detection_is_in_its_table(row: str):
    assert row in document("detection.md")


@pytest.mark.parametrize("row", rows(PoseRequest))
def test_every_parameter_of_a_pose_is_in_its_table(row: str):
    assert row in document("pose.md")


@pytest.mark.parametrize("row", rows(SegmentParameters))
def test_every_parameter_of_a_segmentation_is_in_its_table(row: str):
    assert row in document("segmentation.md")


@pytest.mark.parametrize("name", [*CLUSTER_DEFAULTS, *machine_defaults()])
def test_every_variable_set_for_ray_is_explained(name: str):
    assert f"`{name}`" in document("configuration.md")


def test_shipped_configuration_is_valid():
    assert read_serve_file(DEFAULT_CONFIG).topology.deployments


def test_every_error_code_is_documented():
    kinds = [kind for module in (errors, model_errors) for kind in vars(module).values() if isinstance(kind, type)]
    codes = {kind.code for kind in kinds if issubclass(kind, errors.ServiceError | model_errors.ImageError)}
    missing = {code for code in codes if f"`{code}`" not in document("errors.md")}
    assert missing <= {"invalid_image"}, "the root of image errors is never raised itself"


def test_every_metric_is_documented():
    assert telemetry.REQUESTS
    names = {family.name for family in REGISTRY.collect() if family.name.startswith("tapetum_")}
    text = document("metrics.md")
    assert {name for name in names if f"`{name}" not in text} == set()


def test_layout_in_the_readme_is_the_tree():
    block = re.search(r"## Layout\n+```\n(.*?)```", README, re.DOTALL)
    assert block
    listed = re.findall(r"^(\S+)", block[1], re.MULTILINE)
    assert listed
    for path in listed:
        assert (ROOT / path).exists(), path
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for folder in {path.partition("/")[0] for path in tracked if "/" in path and not path.startswith(".")}:
        assert any(path.startswith(folder) for path in listed), folder


@pytest.mark.parametrize("name", ["architecture.md", "extending.md", "reliability.md"])
def test_files_that_are_named_exist(name: str):
    named = re.findall(r"`((?:models|services|tests|docs|deploy|loadtests)/[\w./-]*)`", document(name))
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_links_lead_somewhere(name: str):
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", document(name)):
        assert (ROOT / "docs" / target).exists(), target


def test_links_of_the_readme_lead_somewhere():
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", README):
        assert (ROOT / target).exists(), target


def test_no_document_has_a_placeholder_left():
    found = {
        path.name: re.findall(r"@[A-Z_]+@", path.read_text(encoding="utf-8")) for path in (ROOT / "docs").glob("*.md")
    }
    assert len(found) > 20 and not any(found.values()) and not re.findall(r"@[A-Z_]+@", README)

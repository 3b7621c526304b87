"""Which version of a replica predicts an image, and when one may be unloaded."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from models.classification.bundled import NOOP
from models.classification.noop import NoopClassifier
from models.runtime import Runtime
from services.answers.wire import Item
from services.deployments.hosted_model import HostedModel
from services.deployments.hosted_versions import HostedVersions
from services.errors import ModelNotFound
from services.model_deployment import ModelDeployment

CONFIG = ModelDeployment.model_validate({"name": "Mugs", "task": "classification", "models": ["noop"]})


def loaded(name: str) -> HostedModel:
    model, version = name.split("@")
    return HostedModel(NoopClassifier(replace(NOOP, name=model, version=version), Runtime().resolve()), CONFIG)


def versions(*names: str) -> HostedVersions:
    made = HostedVersions()
    for name in names:
        made.add(loaded(name))
    return made


def item(version: str = "", *, is_pinned: bool = False) -> Item:
    return Item("mugs", b"", {}, 0.0, version=version, is_pinned=is_pinned)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.deployments.hosted_versions.PATIENCE_S", 0.1)


async def test_version_that_is_asked_for_predicts_and_else_the_newest_of_the_model():
    hosted = versions("mugs@9", "mugs@10", "cups@99")
    for asked, predicts in ((item("9"), "9"), (item(), "10"), (item("8"), "10"), (item("9", is_pinned=True), "9")):
        async with hosted.use(asked) as model:
            assert (model.model, model.version) == ("mugs", predicts)


async def test_request_that_names_a_version_is_answered_by_no_other():
    hosted = versions("mugs@9")
    with pytest.raises(ModelNotFound, match="mugs@10 is not loaded"):
        async with hosted.use(item("10", is_pinned=True)):
            pass


async def test_request_for_a_version_that_is_being_loaded_waits_for_it():
    hosted = versions("mugs@9")
    hosted.loading = frozenset({"mugs@10"})

    async def ask() -> str:
        async with hosted.use(item("10", is_pinned=True)) as model:
            return model.version

    asked = asyncio.create_task(ask())
    await asyncio.sleep(0.3)
    assert not asked.done(), "longer than for a version that is not being loaded"
    hosted.add(loaded("mugs@10"))
    assert await asked == "10"


async def test_retired_version_takes_no_image_and_goes_once_the_last_one_is_done():
    hosted = versions("mugs@9", "mugs@10")
    async with hosted.use(item("10")) as first:
        hosted.retire("mugs@10")
        async with hosted.use(item("10")) as second:
            assert (first.version, second.version) == ("10", "9")
        assert hosted.pop_idle() == ()
        assert hosted.get("mugs@10") is first, "its batches still find it"
    assert [model.version for model in hosted.pop_idle()] == ["10"]
    assert [model.version for model in hosted.serving()] == ["9"]


async def test_retired_version_that_is_wanted_again_takes_images_again():
    hosted = versions("mugs@9", "mugs@10")
    hosted.retire("mugs@10")
    hosted.revive("mugs@10")
    async with hosted.use(item()) as model:
        assert model.version == "10"

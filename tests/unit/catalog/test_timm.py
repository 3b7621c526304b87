"""timm's classifiers are in the catalog by name, read as timm reads them, and a card may name their architectures."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.data.config import resolve_data_config
from timm.data.transforms_factory import create_transform

from models.catalog.cards import write_card
from models.catalog.loading import load, pull
from models.catalog.lookup import find, names
from models.classification import timm_networks
from models.classification.imagenet_classes import imagenet_class_names
from models.classification.timm_entries import timm_rows
from models.entries import WeightsSource
from models.errors import BrokenCard, UnknownModel, WeightsCorrupt, WeightsUnavailable
from models.kinds import find_kind
from models.runtime import Runtime
from models.sources.timm_manifest import PATH, timm_names, write
from tests.photos import encoded, photo

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

MODEL = "mobilenetv3_small_050.lamb_in1k"
NAME = f"timm/{MODEL}"
RUNTIME = Runtime(precision="fp32")
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """An empty cache of Hugging Face's hub, and no network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def cache(hub: Path, state: dict[str, torch.Tensor], file: str = "model.safetensors", model: str = MODEL) -> Path:
    """Puts weights where a download would have put them."""
    folder = hub / f"models--timm--{model}"
    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0" * 40)
    path = snapshot / file
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return path


def decided(model: str = MODEL, **options: Any) -> Any:
    """A network with random weights whose probabilities are far from even."""
    torch.manual_seed(2)
    network: Any = timm.create_model(model, pretrained=False, **options)
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(4, 3, 64, 64))
        network.get_classifier().weight.mul_(40)
    return network.eval()


def test_manifest_is_what_timm_says(tmp_path, monkeypatch):
    monkeypatch.setattr("models.sources.timm_manifest.PATH", tmp_path / "timm.json")
    write(*timm_rows())
    assert (tmp_path / "timm.json").read_text() == PATH.read_text(), "run python -m models.catalog.timm_entries"


def test_name_without_a_tag_is_the_recommended_weights_and_names_of_old_are_known():
    assert find("timm/resnet18") == replace(find("timm/resnet18.a1_in1k"), name="timm/resnet18")
    assert find("timm/resnet18@a1_in1k").version == "a1_in1k"
    assert find("timm/xception").architecture == "legacy_xception.tf_in1k"
    assert find("timm/inception_v4").preprocessing.largest_size == (299, 299)
    assert "cc-by-nc" in find("timm/resnet18.fb_swsl_ig1b_ft_in1k").weights.licence


@pytest.mark.parametrize(
    "name", ["timm/", "timm/resnet81", "timm/resnet18.nobody", "timm/vit_base_patch16_clip_224.openai"]
)
def test_unknown_name_is_refused_with_those_of_timm(name):
    with pytest.raises(UnknownModel) as caught:
        find(name)
    assert caught.value.known == timm_names() and not set(timm_names()) & set(names())


def test_every_entry_suits_its_kind_and_json():
    for name in timm_names():
        entry = find(name)
        assert json.loads(json.dumps(entry.to_dict()))["name"] == name == entry.name
        assert isinstance(entry.preprocessing, find_kind(entry.task).preprocessing)
        assert entry.class_count in timm_networks.IMAGENET


def test_catalog_finds_timms_models_without_torch_and_timm():
    program = (
        "import sys; from models.catalog.lookup import find; find('timm/resnet18'); "
        "sys.exit('torch' in sys.modules or 'timm' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_answers_are_those_of_timm_with_its_own_preprocessing(hub, file):
    network = decided()
    cache(hub, network.state_dict(), file)
    pull(NAME)
    model = load(NAME, RUNTIME)
    assert model.class_names == imagenet_class_names()
    transform: Any = create_transform(**resolve_data_config(model=network))
    for name in PHOTOS:
        picture = photo(name)
        with torch.inference_mode():
            expected = network(transform(picture)[None]).softmax(1)[0]
        (found,) = model.predict([encoded(picture, "PNG")])
        assert found.class_ids[0] == int(expected.argmax())
        wanted = expected[torch.from_numpy(found.class_ids.copy())].numpy()
        assert abs(found.probabilities - wanted).max() < 0.05, name


def test_other_sets_of_classes_have_wordnets_names():
    named = timm_networks.timm_class_names(21843)
    assert len(named) == 21843 and len(timm_networks.timm_class_names(11821)) == 11821


@pytest.mark.usefixtures("hub")
def test_weights_that_are_not_here_and_cannot_be_downloaded_are_one_clear_line():
    with pytest.raises(WeightsUnavailable) as caught:
        load(NAME, RUNTIME)
    text = str(caught.value)
    assert f"{NAME} is not in Hugging Face's cache and could not be downloaded (" in text and "\n" not in text
    assert f"run `tapetum models pull {NAME}` where there is a network" in text


def test_damaged_weights_and_those_of_another_network_are_refused(hub):
    path = cache(hub, {"a": torch.zeros(2)})
    with pytest.raises(WeightsCorrupt, match="does not suit the installed timm"):
        load(NAME, RUNTIME)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(WeightsCorrupt, match="is truncated or corrupt"):
        load(NAME, RUNTIME)


def test_without_timm_a_model_says_how_to_install_it(hub, monkeypatch):
    cache(hub, decided().state_dict())
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(WeightsUnavailable, match=r"needs the Python package timm: pip install 'tapetum\[timm\]'"):
        load(NAME, RUNTIME)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(WeightsUnavailable, match=r"needs the Python package huggingface_hub: pip install 'tapetum"):
        load(NAME, RUNTIME)


def card(folder: Path, architecture: str, state: dict[str, torch.Tensor], **members: Any) -> Path:
    entry = replace(
        find(NAME),
        name="own",
        architecture=architecture,
        weights=WeightsSource("card", "", None, "CC0-1.0", "a test"),
        class_count=3,
        class_names=("cat", "dog", "cup"),
        **members,
    )
    return write_card(folder, entry, state)


@pytest.fixture
def catalog(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TAPETUM_CATALOG", str(tmp_path))
    return tmp_path


def test_card_of_a_fine_tuned_network_is_served(catalog):
    network = decided(num_classes=3)
    card(catalog, NAME, network.state_dict())
    model = load("own", RUNTIME)
    transform: Any = create_transform(**resolve_data_config(model=network))
    for name in PHOTOS:
        (found,) = model.predict([encoded(photo(name), "PNG")])
        with torch.inference_mode():
            assert found.class_ids[0] == int(network(transform(photo(name))[None]).argmax())


@pytest.mark.parametrize(
    ("architecture", "arguments", "message"),
    [
        ("timm/mobilenetv3_smal_050", {}, r"has no model 'mobilenetv3_smal_050'; did you mean mobilenetv3_small_050"),
        ("timm/mobilenetv3_small_050.nobody", {}, r"cannot be built with arguments \{\}: Invalid pretrained tag"),
        (NAME, {"colour": 3}, "cannot be built with arguments {'colour': 3}: "),
    ],
)
def test_card_whose_architecture_cannot_be_built_is_refused(catalog, architecture, arguments, message):
    card(catalog, architecture, {"a": torch.zeros(1)}, arguments=arguments)
    with pytest.raises(BrokenCard, match=message):
        load("own", RUNTIME)


def test_card_without_timm_says_how_to_install_it(catalog, monkeypatch):
    card(catalog, NAME, {"a": torch.zeros(1)})
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(BrokenCard, match=r"needs the Python package timm: pip install 'tapetum\[timm\]'"):
        load("own", RUNTIME)


def test_weights_that_are_not_on_the_hub_are_downloaded_by_url():
    weights = find("timm/legacy_xception").weights
    assert weights.kind == "url" and weights.location.endswith("xception-43020ad28.pth")
    assert find("timm/rdnet_tiny").weights.location == "naver-ai/rdnet_tiny.nv_in1k"

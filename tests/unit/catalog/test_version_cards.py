"""Several versions of a model in the catalog: named NAME@VERSION, the newest by default."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.catalog.cards import card_names, write_card
from models.catalog.lookup import find, names, versions
from models.catalog.version_names import join_name, split_name, version_key
from models.errors import BrokenCard, UnknownModel
from tests.unit.classifier_cards import MUGS


def write(folder: Path, version: str, name: str = "mugs", *, versioned: bool = True) -> Path:
    return write_card(folder, replace(MUGS, name=name, version=version), {"w": torch.ones(1)}, versioned=versioned)


def test_the_newest_version_answers_to_the_name_alone(catalog: Path):
    for version in ("9", "10", "2"):
        write(catalog, version)
    assert versions("mugs") == ("10", "9", "2"), "integers compare as integers"
    assert (find("mugs").version, find("mugs").name) == ("10", "mugs")


def test_each_version_is_found_with_its_own_weights(catalog: Path):
    write(catalog, "1", versioned=False)
    write(catalog, "2")
    for version, file in (("1", "mugs.safetensors"), ("2", "mugs@2.safetensors")):
        entry = find(f"mugs@{version}")
        assert (entry.name, entry.version, entry.weights.location) == ("mugs", version, file)
        assert entry.card is not None and entry.card.with_name(file).is_file()


def test_a_model_of_several_versions_is_listed_once(catalog: Path):
    for version in ("1", "2"):
        write(catalog, version)
    assert card_names(catalog) == ("mugs",)
    assert names().count("mugs") == 1 and not [name for name in names() if name.startswith("mugs@")]


def test_a_bundled_model_has_further_versions_by_cards_of_the_users_own(catalog: Path):
    assert find("yolo-person@1") == find("yolo-person")
    write(catalog, "2", "yolo-person")
    assert versions("yolo-person") == ("2", "1")
    assert (find("yolo-person").version, find("yolo-person@1").version) == ("2", "1")


def test_an_unknown_version_is_refused_with_the_known_ones(catalog: Path):
    for version in ("1", "2"):
        write(catalog, version)
    for unknown in ("mugs@3", "mugs@", "mugs@1@2"):
        with pytest.raises(UnknownModel) as caught:
            find(unknown)
        assert caught.value.known == ("mugs@2", "mugs@1")


def test_a_version_of_no_model_is_refused_with_the_known_models():
    with pytest.raises(UnknownModel) as caught:
        find("no-model@1")
    assert caught.value.known == names()
    assert versions("no-model") == ()


def test_card_that_disagrees_with_its_file_name_is_refused(catalog: Path):
    for stem in ("mugs@3", "cups@2"):
        for suffix in (".json", ".safetensors"):
            write(catalog, "2").with_suffix(suffix).rename(catalog / f"{stem}{suffix}")
    with pytest.raises(BrokenCard, match=r"mugs@3.json: is no model card: version must be '3'.*not '2'"):
        find("mugs@3")
    with pytest.raises(BrokenCard, match=r"cups@2.json: is no model card: name must be 'cups'"):
        find("cups@2")


def test_one_version_twice_is_refused(catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first = write(catalog, "1", versioned=False)
    write(catalog, "1")
    with pytest.raises(BrokenCard, match="another version '1' of 'mugs'") as caught:
        find("mugs")
    assert str(first) in str(caught.value)
    write(catalog, "1", "yolo-person")
    with pytest.raises(BrokenCard, match=r"another version '1' of 'yolo-person', .*weights.yolo-person.json"):
        find("yolo-person")
    other = tmp_path / "other"
    monkeypatch.setenv("TAPETUM_CATALOG", f"{catalog}:{other}")
    other.mkdir()
    for folder in (catalog, other):
        write(folder, "7", "cups")
    with pytest.raises(BrokenCard, match="another version '7' of 'cups'"):
        find("cups@7")


def test_broken_card_of_one_version_harms_no_other(catalog: Path):
    write(catalog, "1", versioned=False)
    write(catalog, "2").write_text("{}")
    assert find("mugs@1").version == "1"
    with pytest.raises(BrokenCard):
        find("mugs")


def test_weights_of_torchvision_are_models_of_their_own():
    assert split_name("torchvision/resnet50@IMAGENET1K_V1") == ("torchvision/resnet50@IMAGENET1K_V1", None)
    assert versions("torchvision/resnet50") == ("IMAGENET1K_V2",)
    assert versions("torchvision/resnet50@IMAGENET1K_V1") == ("IMAGENET1K_V1",)
    assert join_name("torchvision/resnet50", "IMAGENET1K_V2") == "torchvision/resnet50"


@pytest.mark.parametrize("name", ["yolo-person", "efficientnet-lite0", "noop", "yolox/s", "torchvision/resnet18"])
def test_version_of_an_entry_finds_the_same_entry(name: str):
    entry = find(name)
    assert find(join_name(entry.name, entry.version)) == entry


def test_numbers_within_versions_compare_as_numbers():
    mixed = ["v10", "1.10", "10", "1.9", "v9", "2-rc2", "1.2", "2-rc1"]
    assert sorted(mixed, key=version_key) == ["1.2", "1.9", "1.10", "2-rc1", "2-rc2", "10", "v9", "v10"]

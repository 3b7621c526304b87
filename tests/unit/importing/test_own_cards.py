"""A model that is added, renamed or removed is there as a whole or not at all."""

import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.catalog.cards import card_names, read_card, write_card
from models.catalog.lookup import find
from models.errors import NameTaken, UnknownModel
from models.importing.own_cards import cards_named, check_name, files_of, publish, remove, rename, staging
from tests.unit.classifier_cards import MUGS


def written(folder: Path, name: str = "mugs", version: str | None = None, value: float = 1) -> Path:
    """A card with its weights and its picture."""
    entry = replace(MUGS, name=name, version=version or "1")
    card = write_card(folder, entry, {"weight": torch.full((2, 2), value)}, versioned=version is not None)
    card.with_name(card.name.removesuffix(".json") + ".jpg").write_bytes(b"picture")
    return card


def add(folder: Path, name: str = "mugs", *, replacing: bool = False, value: float = 1) -> Path:
    with staging(folder) as place:
        return publish(written(place, name, value=value), folder, replacing=replacing)


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def test_added_model_is_found_and_nothing_else_is_left(catalog: Path):
    card = add(catalog)
    assert find("mugs").card == card
    assert visible(catalog) == ["mugs.jpg", "mugs.json", "mugs.safetensors"]


def test_folder_is_made_where_it_is_missing(tmp_path: Path):
    assert add(tmp_path / "new" / "folder").is_file()


@pytest.mark.parametrize("name", ["", "a/b", "../mugs", "mugs@", "@2", "mugs@a@b", ".mugs", "torchvision/resnet18"])
def test_name_that_is_none_is_refused(catalog: Path, name: str):
    with pytest.raises(NameTaken, match="is no name for a model"):
        check_name(name, catalog)


@pytest.mark.parametrize("name", ["yolo-person", "noop"])
def test_name_of_a_bundled_model_is_taken_but_its_versions_are_not(catalog: Path, name: str):
    with pytest.raises(NameTaken, match="comes with Tapetum"):
        check_name(name, catalog, replacing=True)
    check_name(f"{name}@2", catalog)


def test_taken_name_is_refused_unless_the_model_is_replaced(catalog: Path):
    add(catalog)
    with pytest.raises(NameTaken, match=r"there is a model mugs already: .*mugs\.json; .* --replace"):
        add(catalog, value=2)
    add(catalog, value=3, replacing=True)
    assert card_names(catalog) == ("mugs",)
    assert visible(catalog) == ["mugs.jpg", "mugs.json", "mugs.safetensors"]


def test_name_in_another_folder_of_the_catalog_is_taken_even_for_a_replacement(catalog: Path, tmp_path: Path):
    add(catalog)
    with pytest.raises(NameTaken, match="choose another name"):
        check_name("mugs", tmp_path / "other", replacing=True)


def test_version_of_a_card_takes_its_name(catalog: Path):
    add(catalog)
    with pytest.raises(NameTaken, match="there is a model mugs@1 already"):
        check_name("mugs@1", catalog)
    check_name("mugs@2", catalog)
    written(catalog, version="2")
    with pytest.raises(NameTaken, match="there is a model mugs@2 already"):
        check_name("mugs@2", catalog)
    check_name("mugs", catalog, replacing=True)


def _add_at(folder: str, barrier: object, results: object) -> None:
    with staging(Path(folder)) as place:
        card = written(place)
        barrier.wait()  # type: ignore[attr-defined]
        try:
            results.put(str(publish(card, Path(folder))))  # type: ignore[attr-defined]
        except NameTaken as error:
            results.put(f"error: {error}")  # type: ignore[attr-defined]


def test_of_two_that_add_one_name_at_once_one_wins_and_the_other_is_told(catalog: Path):
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_add_at, args=(str(catalog), barrier, results)) for _ in range(2)]
    for process in processes:
        process.start()
    found = sorted(results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    assert found[0] == str(catalog / "mugs.json")
    assert found[1].startswith("error: there is a model mugs already")
    assert visible(catalog) == ["mugs.jpg", "mugs.json", "mugs.safetensors"]


def _hang_at(folder: str) -> None:
    with staging(Path(folder)) as place:
        written(place)
        time.sleep(60)


def test_what_a_killed_process_leaves_behind_is_removed_by_the_next_one(catalog: Path):
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_hang_at, args=(str(catalog),))
    process.start()
    while not list(catalog.glob(".adding-*/mugs.json")):
        time.sleep(0.01)
    with staging(catalog):
        assert list(catalog.glob(".adding-*/mugs.json")), "that of a living process stays"
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    assert card_names(catalog) == ()
    add(catalog, "cups")
    assert visible(catalog) == ["cups.jpg", "cups.json", "cups.safetensors"]


def test_weights_without_a_card_after_a_kill_are_no_model_and_are_overwritten(catalog: Path):
    (catalog / "mugs.safetensors").write_bytes(b"of a killed process")
    assert card_names(catalog) == ()
    add(catalog)
    assert find("mugs").weights.location == "mugs.safetensors"


def test_full_disk_leaves_nothing(small_disk: Path):
    with pytest.raises(OSError, match="No space"), staging(small_disk) as place:
        (place / "mugs.onnx").write_bytes(bytes(2**21))
    assert visible(small_disk) == []


def test_removed_model_takes_weights_and_picture_along(catalog: Path):
    add(catalog)
    add(catalog, "cups")
    remove(cards_named("mugs"))
    assert visible(catalog) == ["cups.jpg", "cups.json", "cups.safetensors"]


def test_broken_card_can_be_removed(catalog: Path):
    add(catalog)
    (catalog / "mugs.json").write_text("{")
    remove(cards_named("mugs"))
    assert visible(catalog) == []


def test_only_models_of_the_users_own_can_be_removed(catalog: Path):
    for name in ("yolo-person", "yolox/s", "torchvision/resnet18"):
        with pytest.raises(NameTaken, match="comes with Tapetum"):
            cards_named(name)
    with pytest.raises(UnknownModel):
        cards_named("mugs")
    written(catalog, "yolo-person", "2")
    assert cards_named("yolo-person@2") == [catalog / "yolo-person@2.json"]
    with pytest.raises(NameTaken):
        cards_named("yolo-person")


def test_renamed_model_keeps_weights_and_versions(catalog: Path):
    add(catalog)
    written(catalog, version="2")
    digest = find("mugs@1").weights.sha256
    assert rename("mugs", "cups") == [catalog / "cups.json", catalog / "cups@2.json"]
    assert (find("cups@1").weights.sha256, find("cups").version) == (digest, "2")
    assert card_names(catalog) == ("cups",)
    assert not list(catalog.glob("mugs*"))


def test_single_version_is_renamed_to_a_name_or_a_version(catalog: Path):
    add(catalog)
    written(catalog, version="2")
    assert rename("mugs@2", "cups") == [catalog / "cups.json"]
    assert read_card(catalog / "cups.json").version == "2"
    assert rename("cups", "mugs@3") == [catalog / "mugs@3.json"]
    assert (find("mugs").version, files_of(catalog / "cups.json")) == ("3", [])


def test_new_name_of_a_model_is_checked_before_anything_changes(catalog: Path):
    add(catalog)
    add(catalog, "cups")
    for new in ("cups", "noop", "a/b"):
        with pytest.raises(NameTaken):
            rename("mugs", new)
    written(catalog, version="2")
    with pytest.raises(NameTaken, match="has 2 versions"):
        rename("mugs", "plates@3")
    assert card_names(catalog) == ("cups", "mugs")

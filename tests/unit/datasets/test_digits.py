"""The built-in scenes of digits: exact, repeatable, and of digits that training does not see."""

from __future__ import annotations

import pickle
import subprocess
import sys
from hashlib import sha256
from typing import Any

import numpy as np
import pytest

from models.datasets.digits import DigitScenes
from models.datasets.opening import open_dataset
from models.datasets.samples import ClassTarget, DatasetError, Kind, ObjectTarget
from models.imaging import decoding
from tests.unit.evaluation_files import class_map, objects


@pytest.mark.parametrize("index", range(8))
def test_boxes_areas_and_masks_are_of_the_pixels_that_are_seen(index: int) -> None:
    data = DigitScenes("instance")
    scene, target = data.scene(index), objects(data, index)
    assert target.masks is not None and 1 <= len(target.masks) <= 8
    covered = np.zeros((320, 320), np.int64)
    for number, (mask, box) in enumerate(zip(target.masks, target.boxes.tolist(), strict=True), 1):
        pixels = mask.to_array()
        assert np.array_equal(pixels, scene.owners == number)
        rows, columns = np.nonzero(pixels)
        assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert target.areas[number - 1] == pixels.sum() > 0
        covered += pixels
    assert covered.max() == 1
    assert objects(DigitScenes("detection"), index).boxes.tolist() == target.boxes.tolist()


def test_the_class_map_shows_every_digit() -> None:
    data = DigitScenes("semantic")
    scene, pixels = data.scene(3), class_map(data, 3)
    assert data.class_names == ("background", *"0123456789")
    assert (pixels[scene.owners == 0] == 0).all()
    for number, class_id in enumerate(scene.class_ids.tolist(), 1):
        assert (pixels[scene.owners == number] == class_id + 1).all()


def test_digits_stand_out_from_their_surroundings_as_drawn() -> None:
    scene = DigitScenes("classification").scene(0)
    inside = scene.pixels[scene.owners == 1].astype(float)
    assert np.median(abs(inside - np.median(inside, 0))) < 8  # one colour and a little noise, but for the edge
    outside = scene.pixels[scene.owners == 0].mean(0)
    assert np.abs(inside.mean(0) - outside).max() > 25


def test_an_index_gives_the_same_scene_whatever_came_before() -> None:
    data = DigitScenes("instance", seed=5)
    first = [data.load(index).image for index in range(4)]
    again = pickle.loads(pickle.dumps(data))
    assert [again.load(index).image for index in (3, 1)] == [first[3], first[1]]
    assert len(set(first)) == 4
    assert DigitScenes("instance", seed=6).load(0).image != first[0]


def test_another_process_makes_the_same_scene() -> None:
    program = (
        "from hashlib import sha256; from models.datasets.digits import DigitScenes;"
        "print(sha256(DigitScenes('detection', 2).load(7).image).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert other.strip() == sha256(DigitScenes("detection", 2).load(7).image).hexdigest()


def test_classifiers_get_one_large_digit() -> None:
    data = DigitScenes("classification", count=300)
    sample = data.load(0)
    assert isinstance(sample.target, ClassTarget)
    assert decoding.inspect(sample.image).size == (96, 96)
    counts = np.bincount([int(data.scene(index).class_ids[0]) for index in range(300)], minlength=10)
    assert counts.min() >= 15


def test_a_fifth_of_every_class_is_held_back() -> None:
    from sklearn.datasets import load_digits

    from models.datasets import digits

    (val, val_ids), (train, train_ids) = (digits._digits(split) for split in ("val", "train"))  # pyright: ignore[reportPrivateUsage]
    loaded: Any = load_digits()
    everything = np.bincount(loaded.target)
    assert (np.bincount(val_ids) == everything // 5).all()
    assert len(val) + len(train) == 1797
    assert (np.bincount(val_ids) + np.bincount(train_ids) == everything).all()
    assert {pixels.tobytes() for pixels in val}.isdisjoint(pixels.tobytes() for pixels in train)
    assert DigitScenes("detection", split="train").load(0).image != DigitScenes("detection").load(0).image


def test_one_digit_hides_little_of_another() -> None:
    overlaps = 0
    for index in range(60):
        scene = DigitScenes("detection").scene(index)
        visible = np.bincount(scene.owners.ravel(), minlength=len(scene.class_ids) + 1)[1:]
        assert visible.min() > 50
        boxes = objects(DigitScenes("detection"), index).boxes
        overlaps += any(
            (np.minimum(a[2:], b[2:]) > np.maximum(a[:2], b[:2])).all() for i, a in enumerate(boxes) for b in boxes[:i]
        )
    assert 20 < overlaps < 60


@pytest.mark.parametrize(
    ("spec", "name", "count"),
    [
        ("digits", "digits", 1000),
        ("digits:7", "digits/7", 1000),
        ("digits:7:12", "digits/7", 12),
        ("digits:0:3", "digits", 3),
    ],
)
def test_seed_and_count_are_part_of_the_spec(spec: str, name: str, count: int) -> None:
    data = open_dataset(spec, "detection")
    assert (data.name, len(data), data.problems) == (name, count, ())
    assert data.category_ids == tuple(range(1, 11))


@pytest.mark.parametrize("spec", ["digits:", "digits:x", "digits:-1", "digits:1:2:3", "digits:1:0", "digits:1.5"])
def test_other_specs_are_refused(spec: str) -> None:
    with pytest.raises(DatasetError, match=r"digits"):
        open_dataset(spec, "detection")


def test_the_digest_tells_kind_seed_count_and_split() -> None:
    kinds: tuple[Kind, ...] = ("classification", "detection", "instance", "semantic")
    digests = {DigitScenes(kind).digest for kind in kinds}
    digests |= {DigitScenes("detection", 1).digest, DigitScenes("detection", 0, 10).digest}
    digests |= {DigitScenes("detection", 0, 1000, "train").digest, DigitScenes("detection").digest}
    assert len(digests) == 7
    assert open_dataset("digits", "detection", limit=10).digest == DigitScenes("detection", 0, 10).digest


def test_a_scene_beyond_the_last_is_none() -> None:
    with pytest.raises(IndexError):
        DigitScenes("detection", 0, 3).load(3)
    assert isinstance(DigitScenes("detection", 0, 3).load(2).target, ObjectTarget)

"""Which key points change places in a mirror image, by their names."""

import pytest

from models.entries.skeletons import PERSON, Skeleton, numbered_names, sides_of

PAIRS = [
    ("left_eye", "right_eye"),
    ("Left eye", "Right eye"),
    ("LEFT_EYE", "RIGHT_EYE"),
    ("leftEye", "rightEye"),
    ("LeftEye", "RightEye"),
    ("eyeLeft", "eyeRight"),
    ("lefteye", "righteye"),
    ("upperleftarm", "upperrightarm"),
    ("l_eye", "r_eye"),
    ("L_eye", "R_eye"),
    ("eye_l", "eye_r"),
    ("eye-L", "eye-R"),
    ("lEye", "rEye"),
    ("LEye", "REye"),
    ("eyeL", "eyeR"),
    ("EYE_L", "EYE_R"),
    ("L1", "R1"),
    ("leye", "reye"),
    ("front_left_paw", "front_right_paw"),
    ("left_eye_left_corner", "right_eye_right_corner"),
    ("Left_eye", "right_eye"),
]


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_left_and_right_are_paired_and_have_their_sides(left: str, right: str) -> None:
    names = ("nose", right, left)
    skeleton = Skeleton.of(names)
    assert skeleton.mirrored == (0, 2, 1) and skeleton.has_sides
    assert sides_of(names) == (0, 1, -1)


@pytest.mark.parametrize("names", [("nose", "tail"), ("lip", "chin"), ("bright", "cleft"), ("LIP", "RIM"), ("l", "x")])
def test_other_names_are_no_pairs(names: tuple[str, ...]) -> None:
    assert Skeleton.of(names).mirrored == (0, 1) and not Skeleton.of(names).has_sides


def test_a_side_without_its_other_keeps_its_side() -> None:
    assert sides_of(("left_knee", "right_hip", "bright_spot")) == (-1, 1, 0)
    assert not Skeleton.of(["left_knee", "right_hip"]).has_sides


def test_names_that_differ_in_case_only_make_no_wrong_pairs() -> None:
    assert Skeleton.of(["l_eye", "L_eye", "r_eye"]).mirrored in ((2, 1, 0), (0, 2, 1))


def test_people_are_paired_by_their_names() -> None:
    assert Skeleton.of(PERSON.names).mirrored == PERSON.mirrored
    assert [-1 if "left" in name else int("right" in name) for name in PERSON.names] == list(sides_of(PERSON.names))


def test_numbered_points_have_no_sides() -> None:
    assert not Skeleton.of(numbered_names(6)).has_sides

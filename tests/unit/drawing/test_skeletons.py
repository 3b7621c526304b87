"""Skeletons are drawn where the key points are, in the colour of their object."""

import numpy as np

from models.drawing.annotations import annotations_of_answer
from models.drawing.picture import draw_on
from models.imaging.decoding import DecodedImage

GREY = 90


def answer(*people: list[tuple[float, float, bool]]) -> dict:
    rows = [
        {
            "box": {"x_min": 100.0, "y_min": 100.0, "x_max": 500.0, "y_max": 500.0},
            "class_id": 0,
            "class_name": "person",
            "score": 0.9,
            "keypoints": [
                {"name": name, "x": x, "y": y, "score": 0.8, "visible": visible}
                for name, (x, y, visible) in zip(("nose", "left_hand", "right_hand"), points, strict=True)
            ],
        }
        for points in people
    ]
    return {"image": {"height": 600, "width": 600}, "predictions": rows, "skeleton": [[0, 1], [0, 2]]}


def drawn(document: dict) -> np.ndarray:
    photo = DecodedImage(np.full((600, 600, 3), GREY, np.uint8), (600, 600))
    return np.asarray(draw_on(photo, annotations_of_answer(document, 1)))


def changed(pixels: np.ndarray) -> np.ndarray:
    return (pixels != GREY).any(2)


def test_a_line_joins_two_visible_points_and_has_the_colour_of_the_object() -> None:
    document = answer([(200, 300, True), (400, 300, True), (300, 450, False)])
    pixels = drawn(document)
    (annotation,) = annotations_of_answer(document, 1)
    assert tuple(pixels[300, 300]) == annotation.color
    assert changed(pixels)[298:303, 205:395].all()


def test_a_point_that_is_not_visible_has_no_dot_and_no_line() -> None:
    pixels = changed(drawn(answer([(200, 300, True), (400, 300, True), (300, 450, False)])))
    assert not pixels[310:470, 150:450].any()


def test_left_is_lighter_than_right() -> None:
    pixels = drawn(answer([(300, 200, True), (200, 400, True), (400, 400, True)])).astype(int)
    assert pixels[400, 200].sum() > pixels[200, 300].sum() > pixels[400, 400].sum()


def test_two_people_have_two_colours() -> None:
    first = [(150.0, 200.0, True), (250.0, 200.0, True), (150.0, 300.0, False)]
    second = [(350.0, 400.0, True), (450.0, 400.0, True), (350.0, 450.0, False)]
    pixels = drawn(answer(first, second))
    assert tuple(pixels[200, 200]) != tuple(pixels[400, 400])


def test_points_at_the_edge_of_the_picture_are_drawn() -> None:
    pixels = drawn(answer([(0, 0, True), (600, 600, True), (0, 600, True)]))
    assert changed(pixels)[1, 1] and changed(pixels)[598, 598]


def test_an_object_without_visible_points_has_its_box() -> None:
    hidden = [(150.0, 200.0, False), (250.0, 200.0, False), (150.0, 300.0, False)]
    pixels = changed(drawn(answer(hidden)))
    assert pixels[300, 100:103].any() and not pixels[195:205, 140:260].any()


def test_other_answers_have_no_pose() -> None:
    row = {"box": {"x_min": 1, "y_min": 1, "x_max": 9, "y_max": 9}, "class_id": 0, "class_name": "a", "score": 1.0}
    (annotation,) = annotations_of_answer({"predictions": [row]})
    assert annotation.pose is None

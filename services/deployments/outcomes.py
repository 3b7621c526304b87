"""From the raw output of a network to the outcome of each image: a serialised prediction, or a failure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import structlog

from models.adapter import Adapter, ModelInput
from models.errors import InvalidProposals, NonFiniteOutput
from services.accuracy.drift import Summary, summarise
from services.answers.wire import Failure, Outcome, describe_prediction
from services.errors import AnswerTooLarge, InvalidParameters, NonFiniteAnswer, ServiceError

log = structlog.get_logger()

MAX_ANSWER_BYTES = 64 * 2**20
"""The most bytes of the answer to one image. A message between processes must stay below 2 GiB, and has many
answers."""

Answered = tuple[bytes, Summary | None] | ServiceError
"""A serialised prediction with its summary for drift detection, or an error."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A preprocessed image."""

    input: ModelInput
    parameters: Any
    stages_ms: dict[str, float]


def postprocess(
    adapter: Adapter[Any, Any], raw: Any, batch: Sequence[Prepared]
) -> Iterator[tuple[bytes, Summary | None]]:
    """Postprocess a batch and serialise its predictions."""
    predictions = adapter.postprocess(
        raw, [prepared.input for prepared in batch], [prepared.parameters for prepared in batch]
    )
    for prediction, prepared in zip(predictions, batch, strict=True):
        yield encode(describe_prediction(prediction, adapter.class_names, prepared.parameters))


def postprocess_alone(adapter: Adapter[Any, Any], raw: Any, batch: Sequence[Prepared], index: int) -> Answered:
    """Postprocess one image of a batch; returns its prediction or its error."""
    try:
        (answer,) = postprocess(adapter, raw[index : index + 1], batch[index : index + 1])
    except Exception as error:
        return error_for(error)
    return answer


def encode(answer: dict[str, Any]) -> tuple[bytes, Summary | None]:
    """Serialises a prediction, and summarises it for drift detection."""
    return orjson.dumps(answer), summarise(answer)


def outcome_of(answer: Answered, stages_ms: dict[str, float]) -> Outcome:
    """The outcome of an image; a failure where its answer is too large to send."""
    if isinstance(answer, ServiceError):
        return failed(answer)
    body, summary = answer
    if len(body) <= MAX_ANSWER_BYTES:
        return Outcome(body, None, stages_ms, summary)
    message = (
        f"the answer has {len(body)} bytes; at most {MAX_ANSWER_BYTES} are sent: "
        "ask for mask_format=rle, or for fewer classes, objects or images"
    )
    return failed(AnswerTooLarge(message, {"bytes": len(body), "max_bytes": MAX_ANSWER_BYTES}))


def error_for(error: Exception) -> ServiceError:
    """Translates an exception to an error for the client; unexpected ones are logged and hidden."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, InvalidProposals):
        return InvalidParameters(f"proposals: {error}", {"parameter": "proposals"})
    log.error("prediction failed", exc_info=error)
    if isinstance(error, NonFiniteOutput):
        return NonFiniteAnswer(str(error))
    return ServiceError("the model failed on this image")


def failed(error: ServiceError) -> Outcome:
    """The outcome of a failed image."""
    return Outcome(None, Failure(error.status, error.code, error.message, error.details), {})

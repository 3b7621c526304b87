"""Parses a prediction request (raw bytes, multipart or JSON) into images and parameters, within size limits."""

from __future__ import annotations

import binascii
import io
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.datastructures import QueryParams
from starlette.requests import Request

from models.errors import ImageError
from models.signals.decoding import MAX_BYTES as SIGNAL_BYTES
from models.signals.decoding import signal_of
from services.errors import (
    BodyTooLarge,
    InvalidImage,
    InvalidParameters,
    RequestError,
    ServiceError,
    UnsupportedContentType,
)
from services.gateway.bodies import Body
from services.gateway.documents import parse_object
from services.gateway.forms import parse_form
from services.gateway.schemas import JsonBody
from services.gateway.serving.offload import INLINE_BYTES, TimeLimit
from services.gateway.serving.request_path import PredictionInput
from services.kinds.request_parameters import OF_THE_WHOLE, RequestParameters, TaskParameters
from services.settings import Settings

M = TypeVar("M", bound=BaseModel)
D = TypeVar("D")

Parsed = tuple[tuple[bytes | ServiceError, ...], bool, Mapping[str, Any]]
"""Images, whether the client sent a list, and parameters."""

NO_PARAMETERS: Final[Mapping[str, Any]] = {}

MAX_GIVEN: Final = 64
"""Parameters of a request before validation."""

REMEMBERED: Final = 64
"""Queries whose parameters are remembered: clients send few different ones, of at most 8 KiB."""

BASE64_AT_A_TIME: Final = 2**18
"""Base64 characters that are decoded at a time, as the decoder holds the GIL; a multiple of four."""

MAX_URL_HEAD: Final = 256
"""The most characters of a `data:` URL before its data."""

MAX_PROBLEMS: Final = 1000
"""The most unknown or invalid members that an error lists; of more only the number is given."""

SIGNAL_TYPE: Final = "text/csv"
"""Content type of a signal that is the whole body."""

FORM_TYPE: Final = "application/x-www-form-urlencoded"
MAX_PARAMETER_BYTES: Final = 2**16
"""The most bytes of a body that has parameters only."""
NO_IMAGE: Final = b""
"""In the place of the image of a request that has none."""

ACCEPTED = (
    "an image (image/*), application/octet-stream, multipart/form-data, application/json, or a signal as text/csv"
)


async def read_input(
    body: Body, kind: type[RequestParameters], settings: Settings, limit: TimeLimit
) -> PredictionInput:
    """Read and validate the body and the parameters of a prediction request.

    Args:
        body: The body; not yet read.
        kind: The parameters of the task.
        settings: Caps on bytes and images.
        limit: Time limit of the request.

    Raises:
        RequestError: the request is invalid; the message says what to change.
    """
    content_type = body.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "multipart/form-data":
        images, several, given = await _read_multipart(body, settings, limit)
    elif content_type == "application/json" or content_type.endswith("+json"):
        images, several, given = await read_document(
            body, settings.max_body_bytes, lambda document: _parse_images(document, limit), limit, "base64"
        )
    elif content_type == SIGNAL_TYPE:
        images, several, given = (await body.read(SIGNAL_BYTES, "signal"),), False, NO_PARAMETERS
    elif content_type.startswith("image/") or content_type in ("", "application/octet-stream"):
        images, several, given = (await body.read(settings.max_image_bytes, "image"),), False, NO_PARAMETERS
    else:
        raise UnsupportedContentType(f"content type {content_type[:80]} is not read here; send {ACCEPTED}")
    if len(images) > settings.max_images_per_request:
        raise BodyTooLarge(
            f"{len(images)} images in one request; at most {settings.max_images_per_request} are taken",
            {"images": len(images), "max_images": settings.max_images_per_request},
        )
    return PredictionInput(images, several, _parameters_of(kind, body.request, given))


async def read_parameters(body: Body, kind: type[RequestParameters], limit: TimeLimit) -> PredictionInput:
    """Read and validate a request without images: a JSON object or a form of parameters, or no body at all.

    Args:
        body: The body; not yet read.
        kind: The parameters of the task.
        limit: Time limit of the request.

    Returns:
        The parameters, with no bytes in the place of an image.

    Raises:
        RequestError: the request is invalid; the message says what to change.
    """
    content_type = body.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = content_type == "application/json" or content_type.endswith("+json")
    refusal = UnsupportedContentType(
        f"this takes parameters and no image; send none, application/json or {FORM_TYPE}, not "
        f"{content_type[:80] or 'a body without a content type'}"
    )
    is_known = is_json or content_type == FORM_TYPE
    if not is_known and body.request.headers.get("content-length", "0") != "0":
        raise refusal
    text = await body.read(MAX_PARAMETER_BYTES, "body")
    if text and not is_known:
        raise refusal
    given: Mapping[str, Any] = NO_PARAMETERS
    if text:
        given = parse_object(text, limit) if is_json else _read_form(text)
    return PredictionInput((NO_IMAGE,), False, _parameters_of(kind, body.request, given))


def _read_form(text: bytes) -> Mapping[str, Any]:
    given: dict[str, Any] = {}
    for name, value in QueryParams(text).multi_items():
        if name in given:
            raise InvalidParameters(f"parameter {name[:80]} is given twice", {"parameter": name[:80]})
        given[name] = value
    return given


def _parameters_of(kind: type[RequestParameters], request: Request, given: Mapping[str, Any]) -> RequestParameters:
    query = request.scope["query_string"]
    if query.count(b"&") + len(given) >= MAX_GIVEN:
        raise InvalidParameters(f"there are more than {MAX_GIVEN} parameters", {"max_parameters": MAX_GIVEN})
    return _validate_all(kind, query, given) if given else _validate_query(kind, query)


@lru_cache(REMEMBERED)
def _validate_query(kind: type[RequestParameters], query: bytes) -> RequestParameters:
    return _validate_all(kind, query, NO_PARAMETERS)


def _validate_all(kind: type[RequestParameters], query: bytes, given: Mapping[str, Any]) -> RequestParameters:
    parameters: dict[str, Any] = {}
    for name, value in QueryParams(query).multi_items():
        if name in parameters or name in given:
            raise InvalidParameters(f"parameter {name[:80]} is given twice", {"parameter": name[:80]})
        parameters[name] = value
    return validate(kind, {**given, **parameters})


def validate(kind: type[M], value: Mapping[str, Any], within: str = "") -> M:
    """Validate `value` against a schema.

    Args:
        kind: The schema.
        value: The value from the request.
        within: Path of the value in the request; empty for the whole request.

    Raises:
        InvalidParameters: names each invalid member, and its constraint.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        if error.error_count() > MAX_PROBLEMS:
            raise InvalidParameters(f"{error.error_count()} members are wrong", {"known": _members(kind)}) from None
        found = error.errors(include_url=False, include_input=False, include_context=False)[:20]
        problems = [{"parameter": _path(within, problem["loc"]), "problem": _message(problem)} for problem in found]
        listed = "; ".join(f"{problem['parameter']}: {problem['problem']}" for problem in problems)
        known = sorted({name for problem in found for name in _known(kind, problem["loc"])})
        raise InvalidParameters(listed, {"problems": problems, "known": known}) from None


def _path(within: str, location: tuple[int | str, ...]) -> str:
    """A location with dots between its members; an empty name is written as a pair of quotation marks."""
    names = [str(part)[:80] or '""' for part in location]
    return ".".join([within, *names] if within else names)


def _message(problem: ErrorDetails) -> str:
    """The message of a problem, without the name of a class of this program."""
    return "Input should be an object" if problem["type"] == "model_type" else problem["msg"]


def _known(kind: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The members of the schema that a problem is in: those of `kind`, or of the parameters of one task in it."""
    task = str(location[0]) if len(location) > 1 else ""
    field = kind.model_fields.get(task)
    if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, TaskParameters)):
        return _members(kind)
    return [f"{task}.{name}" for name in _members(field.annotation) if name not in OF_THE_WHOLE]


def _members(kind: type[BaseModel]) -> list[str]:
    return sorted(field.alias or name for name, field in kind.model_fields.items())


async def read_document(
    body: Body, max_bytes: int, parse: Callable[[dict[str, Any]], D], limit: TimeLimit, raw_member: str = ""
) -> D:
    """Read and parse a body that is a JSON object.

    Args:
        body: The body; not yet read.
        max_bytes: Cap on it.
        parse: Converts the object; called in a thread where the body is large.
        limit: Time limit of the request.
        raw_member: See `parse_object`.

    Raises:
        RequestError: it is too large, has too many values, or is not a JSON object; or any error of `parse`.
    """
    text = await body.read(max_bytes, "body")
    if len(text) > INLINE_BYTES:
        return await body.work(lambda: parse(parse_object(text, limit, raw_member)), limit)
    return parse(parse_object(text, limit))


def _parse_images(document: dict[str, Any], limit: TimeLimit) -> Parsed:
    parsed = validate(JsonBody, document)
    if sum(getattr(parsed, name) is not None for name in JsonBody.model_fields) != 1:
        raise InvalidParameters('give one of "image", "images" and "signal"', {"known": sorted(JsonBody.model_fields)})
    if parsed.signal is not None:
        return (_encoded(parsed.signal),), False, dict(parsed.model_extra or {})
    if parsed.images is not None and not parsed.images:
        raise InvalidParameters('"images" is empty', {"parameter": "images"})
    images = (parsed.image,) if parsed.image is not None else parsed.images or ()
    return (
        tuple(decode_base64(image.base64, limit) for image in images),
        parsed.images is not None,
        dict(parsed.model_extra or {}),
    )


def _encoded(signal: Sequence[Any]) -> bytes | ServiceError:
    try:
        return signal_of(signal)
    except ImageError as error:
        return InvalidImage.of(error)


def decode_base64(text: str | memoryview[int], limit: TimeLimit) -> bytes | ServiceError:
    """Decodes base64, or the data of a `data:` URL; returns an error where it is neither."""
    head = str(text[:MAX_URL_HEAD], "latin-1") if isinstance(text, memoryview) else text[:MAX_URL_HEAD]
    first = head.find(",") + 1 if head.startswith("data:") else 0
    file = io.BytesIO()
    try:
        while True:
            limit.check()
            piece = text[first : first + BASE64_AT_A_TIME]
            first += len(piece)
            file.write(b64decode(piece, validate=True))
            if first >= len(text):
                return file.getvalue()
            if piece[-1:] in ("=", b"="):
                raise ValueError
    except (binascii.Error, ValueError):
        return RequestError("the image is not valid base64")


async def _read_multipart(body: Body, settings: Settings, limit: TimeLimit) -> Parsed:
    form = await body.read(settings.max_body_bytes, "body")
    content_type = body.request.headers["content-type"]
    images, given = await body.work(
        lambda: parse_form(content_type, form, settings.max_images_per_request, limit), limit
    )
    return tuple(images), len(images) > 1, given

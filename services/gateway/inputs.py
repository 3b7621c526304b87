"""Reads a request into images and parameters: raw bytes, multipart or JSON, with every size capped as it arrives."""

from __future__ import annotations

import asyncio
import binascii
from base64 import b64decode
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, TypeVar, cast

import orjson
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from services.errors import (
    BodyTooLarge,
    InvalidParameters,
    RequestError,
    ServiceError,
    UnsupportedContentType,
)
from services.gateway.parameters import TaskParameters
from services.gateway.schemas import Base64Image, JsonBody
from services.settings import Settings

M = TypeVar("M", bound=BaseModel)
D = TypeVar("D")

LARGE_BYTES = 2**20
"""Work on more than this goes to a thread, so that it holds up nobody else on the event loop."""

MAX_VALUES: Final = 2**18
"""Values in a JSON body. Two bytes of it may make a value of a hundred, and nothing else runs while they are made."""

MAX_PROBLEMS: Final = 1000
"""With more of them in a request, they are counted and not listed."""

ACCEPTED = "an image (image/*), application/octet-stream, multipart/form-data or application/json"


@dataclass(frozen=True, slots=True)
class TaskInput:
    """A request, read and checked.

    Attributes:
        images: The encoded images; an error where one could not even be taken out of the request.
        several: Whether the client sent a list, and gets a list back.
        parameters: Validated parameters of the task.
    """

    images: tuple[bytes | ServiceError, ...]
    several: bool
    parameters: TaskParameters


async def read_input(request: Request, kind: type[TaskParameters], settings: Settings) -> TaskInput:
    """Read the body and the parameters of a prediction request.

    Args:
        request: The request; its body is not yet read.
        kind: The parameters of the task.
        settings: Caps on bytes and images.

    Raises:
        RequestError: of the kind that fits; the message says what to change.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "multipart/form-data":
        images, several, given = await _read_multipart(request, settings)
    elif content_type == "application/json" or content_type.endswith("+json"):
        images, several, given = await read_document(request, settings, _parse_images)
    elif content_type.startswith("image/") or content_type in ("", "application/octet-stream"):
        images, several, given = (await _read_body(request, settings.max_image_bytes, "image"),), False, {}
    else:
        raise UnsupportedContentType(f"content type {content_type[:80]} is not read here; send {ACCEPTED}")
    if len(images) > settings.max_images_per_request:
        raise BodyTooLarge(
            f"{len(images)} images in one request; at most {settings.max_images_per_request} are taken",
            {"images": len(images), "max_images": settings.max_images_per_request},
        )
    return TaskInput(images, several, _read_parameters(kind, request, given))


def _read_parameters(kind: type[TaskParameters], request: Request, given: Mapping[str, Any]) -> TaskParameters:
    query: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        if name in query or name in given:
            raise InvalidParameters(f"parameter {name[:80]} is given twice", {"parameter": name[:80]})
        query[name] = value
    return validate(kind, {**given, **query})


def validate(kind: type[M], value: Mapping[str, Any], within: str = "") -> M:
    """Check `value` against a schema.

    Args:
        kind: The schema.
        value: What was sent.
        within: The member of the request that it is; nothing where it is all of it.

    Raises:
        InvalidParameters: names each member that is wrong, and what it must be.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        if error.error_count() > MAX_PROBLEMS:
            raise InvalidParameters(f"{error.error_count()} members are wrong", {"known": _members(kind)}) from None
        problems = [
            {"parameter": _path(within, *problem["loc"]), "problem": problem["msg"]}
            for problem in error.errors(include_url=False, include_input=False, include_context=False)[:20]
        ]
        listed = "; ".join(f"{problem['parameter']}: {problem['problem']}" for problem in problems)
        raise InvalidParameters(listed, {"problems": problems, "known": _members(kind)}) from None


def _path(*parts: int | str) -> str:
    return ".".join(str(part)[:80] for part in parts if part != "")


def _members(kind: type[BaseModel]) -> list[str]:
    return sorted(field.alias or name for name, field in kind.model_fields.items())


async def _stream(request: Request, max_bytes: int, what: str) -> AsyncGenerator[bytes, None]:
    """The body's chunks, up to a cap."""
    too_large = BodyTooLarge(f"the {what} is larger than {max_bytes} bytes", {"max_bytes": max_bytes})
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > max_bytes:
        raise too_large
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise too_large
        yield chunk


async def _read_body(request: Request, max_bytes: int, what: str) -> bytes:
    chunks = [chunk async for chunk in _stream(request, max_bytes, what) if chunk]
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def read_document(request: Request, settings: Settings, parse: Callable[[dict[str, Any]], D]) -> D:
    """Read a body that is a JSON object.

    Args:
        request: The request; its body is not yet read.
        settings: Cap on its bytes.
        parse: From the object to what is wanted; called in a thread where the body is large.

    Raises:
        RequestError: it is too large, or has too many values, or is no JSON object; or whatever `parse` raises.
    """
    body = await _read_body(request, settings.max_body_bytes, "body")
    if len(body) > LARGE_BYTES:
        return await asyncio.to_thread(lambda: parse(_object_of(body)))
    return parse(_object_of(body))


def _object_of(body: bytes) -> dict[str, Any]:
    if any(values > MAX_VALUES for values in accumulate(_values_of(body))):
        raise BodyTooLarge(f"the body has more than {MAX_VALUES} values", {"max_values": MAX_VALUES})
    try:
        document: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(f"the body is not JSON: {error.msg} at position {error.pos}") from None
    if not isinstance(document, dict):
        raise RequestError("the body must be a JSON object")
    return cast(dict[str, Any], document)


def _values_of(body: bytes) -> Iterator[int]:
    """Of one piece of a JSON text after the other: at least as many values as begin there, but for the first of all."""
    for first in range(0, len(body), LARGE_BYTES):
        yield sum(body.count(mark, first, first + LARGE_BYTES) for mark in (b",", b"[", b"{"))


def _parse_images(document: dict[str, Any]) -> tuple[tuple[bytes | ServiceError, ...], bool, dict[str, Any]]:
    parsed = validate(JsonBody, document)
    if (parsed.image is None) == (parsed.images is None):
        raise InvalidParameters('give either "image" or "images"', {"known": sorted(JsonBody.model_fields)})
    if parsed.images is not None and not parsed.images:
        raise InvalidParameters('"images" is empty', {"parameter": "images"})
    images = (parsed.image,) if parsed.image is not None else parsed.images or ()
    return tuple(_decode_base64(image) for image in images), parsed.images is not None, dict(parsed.model_extra or {})


def _decode_base64(image: Base64Image) -> bytes | ServiceError:
    text = image.base64
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return RequestError("the image is not valid base64")


async def _read_multipart(
    request: Request, settings: Settings
) -> tuple[tuple[bytes | ServiceError, ...], bool, dict[str, Any]]:
    parser = MultiPartParser(
        request.headers,
        _stream(request, settings.max_body_bytes, "body"),
        max_files=settings.max_images_per_request,
        max_fields=32,
    )
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError, UnicodeDecodeError) as error:
        raise RequestError(
            f"the multipart body cannot be read: {getattr(error, 'message', 'it is malformed')}"
        ) from None
    images: list[bytes | ServiceError] = []
    given: dict[str, Any] = {}
    try:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                if name != "image":
                    raise InvalidParameters(f"file field {name[:80]} is not read; call it image", {"known": ["image"]})
                images.append(await value.read())
            elif name in given:
                raise InvalidParameters(f"parameter {name[:80]} is given twice", {"parameter": name[:80]})
            else:
                given[name] = value
    finally:
        await form.close()
    if not images:
        raise InvalidParameters('the form has no file field "image"', {"known": ["image"]})
    return tuple(images), len(images) > 1, given

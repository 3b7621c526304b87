"""Parses the messages of gRPC clients, which arrive as bytes, within limits on their number of fields.

Two bytes of a message can become an object of a hundred, so the fields of a large message are counted first.
Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from google.protobuf.message import DecodeError

from services.errors import BodyTooLarge, RequestError
from services.gateway.serving.offload import INLINE_BYTES

MAX_FIELDS: Final = 2**13
"""The most fields of a request for inference, with those of its inputs and of their contents."""

MAX_BESIDES: Final = 2**20
"""The most bytes of it without `raw_input_contents` and `bytes_contents`."""

_PARTS: Final = {("request", 5): "inputs", ("inputs", 5): "contents"}
"""By message and number of a field, the message that it holds, and whose fields are counted, too."""

_DATA: Final = {("request", 7), ("contents", 8)}
"""`raw_input_contents` and `bytes_contents`."""


def parse_message(message: Any, data: bytes) -> Any:
    """Parses a message without tensors into an empty one, and returns it.

    Raises:
        RequestError: it is not such a message, or too large for one.
    """
    if len(data) > INLINE_BYTES:
        raise BodyTooLarge(f"the message has more than {INLINE_BYTES} bytes", {"max_bytes": INLINE_BYTES})
    return _parse(message, data)


def parse_infer_request(message: Any, data: bytes) -> Any:
    """Parses a `ModelInferRequest` into an empty one, and returns it.

    Raises:
        BodyTooLarge: it has more than `MAX_FIELDS` fields, or more than `MAX_BESIDES` bytes besides its data.
        RequestError: it is not such a message.
    """
    if len(data) > INLINE_BYTES:
        _check_counts(data)
    return _parse(message, data)


def _parse(message: Any, data: bytes) -> Any:
    try:
        message.ParseFromString(data)
    except DecodeError:
        raise _not_valid() from None
    return message


def _not_valid() -> RequestError:
    return RequestError("the message is not of the protocol: its fields are damaged, or a text is not UTF-8")


def _check_counts(data: bytes) -> None:
    count, besides = 0, len(data)
    waiting = [("request", 0, len(data))]
    while waiting:
        message, start, end = waiting.pop()
        for number, first, last in _fields(data, start, end):
            count += 1
            if count > MAX_FIELDS:
                raise BodyTooLarge(f"the message has more than {MAX_FIELDS} fields", {"max_fields": MAX_FIELDS})
            if (message, number) in _DATA:
                besides -= last - first
            elif part := _PARTS.get((message, number)):
                waiting.append((part, first, last))
    if besides > MAX_BESIDES:
        text = f"the message has more than {MAX_BESIDES} bytes besides raw_input_contents and bytes_contents"
        raise BodyTooLarge(text, {"max_bytes": MAX_BESIDES})


def _fields(data: bytes, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, and first and last offset of the value, of each field of a message."""
    while position < end:
        tag, position = _varint(data, position, end)
        match tag & 7:
            case 0:
                _, last = _varint(data, position, end)
            case 1:
                last = position + 8
            case 2:
                size, position = _varint(data, position, end)
                last = position + size
            case 5:
                last = position + 4
            case _:
                raise _not_valid()
        if last > end:
            raise _not_valid()
        yield tag >> 3, position, last
        position = last


def _varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    """A number of variable length, and the offset behind it."""
    value = 0
    for shift, offset in enumerate(range(position, min(position + 10, end))):
        value |= (data[offset] & 0x7F) << (7 * shift)
        if data[offset] < 0x80:
            return value, offset + 1
    raise _not_valid()

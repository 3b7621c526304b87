"""Parses multipart forms: images in file fields called `image`, and parameters in the other fields."""

from __future__ import annotations

import io
from typing import Any, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from services.errors import BodyTooLarge, InvalidParameters, RequestError
from services.gateway.serving.offload import TimeLimit

MAX_FIELDS: Final = 32
MAX_FIELD_BYTES: Final = 2**16

_AT_A_TIME: Final = 2**16
"""Bytes that are parsed between two checks of the time limit."""


def parse_form(content_type: str, body: bytes, max_images: int, limit: TimeLimit) -> tuple[list[bytes], dict[str, str]]:
    """Parses the images and the parameters of a form. It may take long: never call it on an event loop.

    Args:
        content_type: The header.
        body: The form.
        max_images: Cap on their number.
        limit: Time limit of the request.

    Raises:
        RequestError: it is malformed.
        BodyTooLarge: there are too many images, or fields, or a field is too large.
        InvalidParameters: a field occurs twice, or there is a file field other than `image`.
        OutOfTime: the time limit has passed, or the client has disconnected.
    """
    _, options = parse_options_header(content_type)
    if not options.get(b"boundary"):
        raise _malformed("its content type names no boundary")
    form = _Form(max_images)
    try:
        parser = MultipartParser(options[b"boundary"], form.callbacks())  # pyright: ignore[reportArgumentType]
        for first in range(0, len(body), _AT_A_TIME):
            limit.check()
            parser.write(body[first : first + _AT_A_TIME])
        parser.finalize()
    except (FormParserError, UnicodeError) as error:
        raise _malformed(str(error)[:200] if isinstance(error, FormParserError) else "it is not UTF-8") from None
    if not form.has_ended:
        raise _malformed("its last boundary is missing")
    if not form.images:
        raise InvalidParameters('the form has no file field "image"', {"known": ["image"]})
    return form.images, form.fields


def _malformed(problem: str) -> RequestError:
    return RequestError(f"the multipart body cannot be read: {problem}")


class _Form:
    """The state of the parser: the fields that its callbacks have collected so far."""

    def __init__(self, max_images: int) -> None:
        self.images: list[bytes] = []
        self.fields: dict[str, str] = {}
        self.has_ended = False
        self._max_images = max_images
        self._files = 0
        self._name, self._is_file = "", False
        self._header, self._value = b"", b""
        self._disposition = b""
        self._data = io.BytesIO()

    def callbacks(self) -> dict[str, Any]:
        """Callbacks for the parser."""
        names = ("part_begin", "part_data", "part_end", "header_field", "header_value", "header_end")
        return {f"on_{name}": getattr(self, f"_on_{name}") for name in (*names, "headers_finished", "end")}

    def _on_part_begin(self) -> None:
        self._header = self._value = self._disposition = b""
        self._data = io.BytesIO()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise _malformed("a part has no name")
        self._name, self._is_file = options[b"name"].decode(), b"filename" in options
        if self._is_file and self._name != "image":
            raise InvalidParameters(f"file field {self._name[:80]} is not read; call it image", {"known": ["image"]})
        if not self._is_file and self._name in self.fields:
            raise InvalidParameters(f"parameter {self._name[:80]} is given twice", {"parameter": self._name[:80]})
        self._files += self._is_file
        if self._files > self._max_images:
            message = f"more than {self._max_images} images in one request"
            raise BodyTooLarge(message, {"max_images": self._max_images})
        if len(self.fields) >= MAX_FIELDS:
            raise BodyTooLarge(f"the form has more than {MAX_FIELDS} fields", {"max_fields": MAX_FIELDS})

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._data.write(data[start:end])
        if not self._is_file and self._data.tell() > MAX_FIELD_BYTES:
            message = f"field {self._name[:80]} has more than {MAX_FIELD_BYTES} bytes"
            raise BodyTooLarge(message, {"max_field_bytes": MAX_FIELD_BYTES})

    def _on_part_end(self) -> None:
        if self._is_file:
            self.images.append(self._data.getvalue())
        else:
            self.fields[self._name] = self._data.getvalue().decode()

    def _on_end(self) -> None:
        self.has_ended = True

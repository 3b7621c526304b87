"""One decode of each image of an analysis, for those of its models that run in this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from models.catalog.version_names import join_name
from models.errors import ImageError
from models.imaging.decoding import ImageHeader, inspect, scale_factor
from models.imaging.shared_decoding import SharedDecoding
from services.errors import InvalidParameters
from services.gateway.serving.predictor import PredictionRequest
from services.gateway.serving.served_model import ServedModel
from services.kinds.request_parameters import RequestParameters
from services.settings import Settings


@dataclass(frozen=True, slots=True)
class _Decode:
    """The decode of one image.

    Attributes:
        decoding: Decodes it once.
        factor: By which the sides of a JPEG shrink.
        header: Of the image.
    """

    decoding: SharedDecoding
    factor: int
    header: ImageHeader


class Decodes:
    """The decodes of the images of an analysis, each at the finest scale that one of its models needs.

    Args:
        models: Of the analysis, with the parameters of each.
        settings: Caps on the images.
    """

    def __init__(self, models: Sequence[tuple[ServedModel, RequestParameters]], settings: Settings) -> None:
        self._models = models
        self._caps = {"max_bytes": settings.max_image_bytes, "max_pixels": settings.max_image_pixels}
        self._decodes: dict[int, _Decode | None] = {}

    def share(self, request: PredictionRequest, image: bytes) -> PredictionRequest:
        """The request for one image, with the decode that its model shares with others.

        An answer from a finer decode than the model's own has another cache key: it may differ in the last digits.
        """
        if len(self._models) < 2:
            return request
        if id(image) not in self._decodes:
            self._decodes[id(image)] = self._decode_of(image)
        found = self._decodes[id(image)]
        if found is None:
            return request
        needed = _short_side(request.model, request.parameters, found.header)
        if needed is None:
            return request
        is_finer = scale_factor(found.header, needed) != found.factor
        return replace(request, decoding=found.decoding, decoded=b"@1/%d" % found.factor if is_finer else b"")

    def _decode_of(self, image: bytes) -> _Decode | None:
        """The decode of an image; None where fewer than two models share it."""
        try:
            header = inspect(image, **self._caps)
        except ImageError:  # each model says what is wrong with it
            return None
        sides: list[int] = []
        for model, parameters in self._models:
            try:
                side = _short_side(model, parameters.complete(model.entry), header)
            except InvalidParameters:  # this task fails, and decodes nothing
                continue
            if side is not None:
                sides.append(side)
        if len(sides) < 2:
            return None
        return _Decode(SharedDecoding(image, max(sides)), scale_factor(header, max(sides)), header)


def _short_side(model: ServedModel, parameters: dict[str, Any], header: ImageHeader) -> int | None:
    if model.signal_length is not None:
        return None
    return model.calls.short_side_needed(join_name(model.name, model.version), parameters, header.size)

"""Instance and semantic segmentation in the service: how predictions are written, parameters, schemas and endpoint."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Self

import numpy as np
from pydantic import Field

from models.drawing.mask_pngs import indexed_png, png
from models.entries import MaskFormat, kind_in
from models.geometry import masks
from models.geometry.polygons import polygons
from models.kinds import KINDS
from models.parameters import SegmentationParameters
from models.predictions import InstanceMasks, SemanticMask
from services.errors import InvalidParameters
from services.kinds.detection import Detection, write_objects
from services.kinds.request_parameters import Classes, CocoParameters, Count, Share
from services.kinds.schemas import (
    PROBABILITY_DIGITS,
    Answered,
    Cached,
    CocoResult,
    Found,
    ItemError,
    Listed,
    Schema,
)
from services.kinds.task_api import TaskApi


def write_instances(
    prediction: InstanceMasks, class_names: Sequence[str], told: SegmentationParameters
) -> dict[str, Any]:
    """Objects, each with its pixels."""
    write = _MASKS[told.mask_format]
    rows = zip(write_objects(prediction, class_names, told)["predictions"], prediction.masks, strict=True)
    return {"predictions": [{**row, "area_pixels": mask.area, "mask": write(mask)} for row, mask in rows]}


def write_regions(prediction: SemanticMask, class_names: Sequence[str], told: SegmentationParameters) -> dict[str, Any]:
    """Classes, most pixels first, each with its pixels; as PNG, those of all of them in one map."""
    as_map = told.mask_format == "png"
    image_pixels = prediction.class_map.size
    rows: list[dict[str, Any]] = []
    for index, class_id in enumerate(prediction.class_ids.tolist()):
        pixels = prediction.class_map == class_id
        area_pixels = int(np.count_nonzero(pixels))
        row = {"class_id": class_id, "class_name": class_names[class_id], "area_pixels": area_pixels}
        row["fraction"] = round(area_pixels / image_pixels, PROBABILITY_DIGITS)
        if prediction.probabilities is not None:
            row["probability"] = round(float(prediction.probabilities[index]), PROBABILITY_DIGITS)
        if not as_map:
            row["mask"] = _MASKS[told.mask_format](masks.Mask.from_array(pixels))
        rows.append(row)
    rows.sort(key=lambda row: -row["area_pixels"])
    return {"predictions": rows, **({"class_map": _base64(indexed_png(prediction.class_map))} if as_map else {})}


def _base64(file: bytes) -> str:
    return b64encode(file).decode("ascii")


_MASKS: Final[Mapping[MaskFormat, Callable[[masks.Mask], Any]]] = {
    "rle": masks.Mask.to_coco,
    "polygon": polygons,
    "png": lambda mask: _base64(png(mask)),
}
"""How the mask of one object or class is written down, by `mask_format`."""


class SegmentParameters(CocoParameters):
    """Segments an image: send it as the raw body, as multipart field `image`, or in base64 in JSON.

    A semantic model returns a mask for each class in the image, without the background, and an instance model one for
    each object. Parameters of the other kind of model are accepted and ignored.
    """

    mask_format: MaskFormat | None = Field(
        default=None,
        description="Format of masks: `rle`, COCO's compressed run lengths, by default; `polygon`, COCO's "
        "polygons; `png`, one PNG file in base64 per object, or a `class_map` of all classes.",
    )
    score_threshold: Share | None = Field(
        default=None,
        description="Drop objects with a lower score, 0 to 1; ignored by semantic models.",
    )
    max_detections: Count | None = Field(
        default=None, description="The most objects in an image; ignored by semantic models."
    )
    classes: Classes | None = Field(
        default=None,
        description="Only masks of these classes: names or ids; a list in JSON, with commas between them elsewhere. "
        "The background of a semantic model is none of them.",
    )
    probabilities: bool | None = Field(
        default=None,
        description="Also return the mean probability of each class over its pixels; false by default. "
        "Ignored by instance models.",
    )

    def check(self, image_count: int) -> None:
        """Check the parameters against the number of images.

        Raises:
            InvalidParameters: as for `CocoParameters.check`; or the mask format is not one of COCO's.
        """
        super().check(image_count)
        if self.format == "coco" and self.mask_format not in (None, "rle"):
            message = f"mask_format: results in COCO's format have run lengths, not {self.mask_format}"
            raise InvalidParameters(message, {"parameter": "mask_format"})

    def complete(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """See `TaskParameters.complete`.

        Raises:
            InvalidParameters: as there; or COCO's format is requested of a semantic segmentation model.
        """
        if self.format == "coco" and KINDS[kind_in(entry)].has_background:
            message = "format: coco is a list of objects, and this model finds classes: name an instance model"
            raise InvalidParameters(message, {"parameter": "format"})
        return super().complete(entry)

    def for_drawing(self) -> Self:
        """The same with masks as run lengths, which is how they are drawn."""
        return self.model_copy(update={"mask_format": "rle"})


class RunLengths(Schema):
    """A mask as COCO's compressed run lengths: `pycocotools.mask.decode` reads it."""

    size: tuple[int, int] = Field(description="Height and width of the image in pixels.")
    counts: str


class CocoSegmentation(CocoResult):
    """One object with its mask, as a line of a COCO result file. Source: https://cocodataset.org/#format-results"""

    segmentation: RunLengths


Mask = RunLengths | tuple[tuple[float, ...], ...] | str
"""By `mask_format`: run lengths; rings of x, y, x, y … in pixels; or a PNG file in base64, white where the mask is."""


class Instance(Detection):
    """One object with its mask, from an instance segmentation model."""

    area_pixels: int = Field(ge=0)
    mask: Mask


class Region(Schema):
    """One class of the image with its mask, from a semantic segmentation model."""

    class_id: int = Field(ge=1, description="0 is the background.")
    class_name: str
    area_pixels: int = Field(ge=1)
    fraction: float = Field(ge=0, le=1, description="Its share of the image's pixels.")
    probability: float | None = Field(
        default=None, ge=0, le=1, description="With `probabilities`: the mean over its pixels."
    )
    mask: RunLengths | tuple[tuple[float, ...], ...] | None = Field(
        default=None, description="Left out with `mask_format=png`, where `class_map` has the pixels of all classes."
    )


class FoundMasks(Found[Instance | Region]):
    """The objects of one image, or its classes by descending area; may be empty."""

    class_map: str | None = Field(
        default=None,
        description="Of a semantic model with `mask_format=png`: a PNG file in base64 whose pixel values are class "
        "ids, 0 for the background and for classes that were not asked for.",
    )


class SegmentAnswer(FoundMasks, Cached, Answered):
    """Response for one image."""


class Segmentation(FoundMasks, Cached, Listed):
    """The objects or the classes of one image of several."""


class SegmentListAnswer(Answered):
    """Response for several images: one result each, in their order."""

    results: tuple[Segmentation | ItemError, ...]


_SQUARE: Final = {"class_id": 1, "class_name": "person", "area_pixels": 4, "fraction": 0.25}
"""Two by two pixels in the middle of four by four."""

_SQUARE_RUNS: Final = {"size": [4, 4], "counts": "52203"}
"""The same as run lengths."""

_SQUARE_OUTLINE: Final = [1.5, 1.0, 2.5, 1.0, 3.0, 1.5, 3.0, 2.5, 2.5, 3.0, 1.5, 3.0, 1.0, 2.5, 1.0, 1.5]
"""The same as a polygon, which rounds every corner off by half a pixel."""

_SQUARE_MAP: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAQAAAAEAQMAAACTPww9AAAABlBMVEUAAAD8LcXSnV+rAAAAEElEQVR4AWNgYEhgYmBgAAAB8ABjhMVciQAAAABJ"
    "RU5ErkJggg=="
)
"""The same as a class map."""


def _segmented(model: str, **members: Any) -> dict[str, Any]:
    return {
        "model": model,
        "version": "1",
        "image": {"height": 4, "width": 4},
        **members,
        "cached": False,
        "request_id": "5f0c8a52a8d14d4c",
    }


SEGMENT: Final = TaskApi(
    task="segmentation",
    path="/v1/segment",
    summary="The pixels of each class, or of each object, in one or more images",
    parameters=SegmentParameters,
    found=FoundMasks,
    answer=SegmentAnswer | SegmentListAnswer | tuple[CocoSegmentation, ...],
    examples={
        "a semantic model": _segmented("unet-person", predictions=[{**_SQUARE, "mask": _SQUARE_RUNS}]),
        "an instance model": _segmented(
            "mask-rcnn-person",
            predictions=[
                {
                    "box": {"x_min": 0.9, "y_min": 1.0, "x_max": 3.0, "y_max": 3.1},
                    "class_id": 0,
                    "class_name": "person",
                    "score": 0.873102,
                    "area_pixels": 4,
                    "mask": _SQUARE_RUNS,
                }
            ],
        ),
        "a semantic model, mask_format=polygon": _segmented(
            "unet-person",
            predictions=[{**_SQUARE, "mask": [_SQUARE_OUTLINE]}],
        ),
        "a semantic model, mask_format=png": _segmented("unet-person", predictions=[_SQUARE], class_map=_SQUARE_MAP),
        "an instance model, format=coco": [
            {"image_id": 0, "category_id": 1, "segmentation": _SQUARE_RUNS, "score": 0.873102}
        ],
    },
)

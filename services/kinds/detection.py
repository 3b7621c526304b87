"""Detection in the service: how a prediction is written, its request parameters, schemas and endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, cast

import orjson
from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from models.detection.proposal_check import check_proposals
from models.errors import InvalidProposals
from models.parameters import Family
from models.predictions import Detections as Prediction
from services.errors import InvalidParameters
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

PIXEL_DIGITS: Final = 2
BOX_MEMBERS: Final = ("x_min", "y_min", "x_max", "y_max")


def write_objects(prediction: Prediction, class_names: Sequence[str], _: object) -> dict[str, Any]:
    """The objects of an image, best first."""
    rows = zip(prediction.boxes.tolist(), prediction.class_ids.tolist(), prediction.scores.tolist(), strict=True)
    return {
        "predictions": [
            {
                "box": dict(zip(BOX_MEMBERS, (round(edge, PIXEL_DIGITS) for edge in box), strict=True)),
                "class_id": class_id,
                "class_name": class_names[class_id],
                "score": round(score, PROBABILITY_DIGITS),
            }
            for box, class_id, score in rows
        ]
    }


MAX_PROPOSALS: Final = 1000
"""The most proposals of a request, as of RPNs of torchvision at most."""
MAX_CROPS: Final = 100
"""The most of them with `family=rcnn`: each is an image of its own for the network."""


def _read_boxes(value: Any) -> Any:
    """Reads JSON text, as in a query or a form, and refuses boxes that no image has."""
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            raise PydanticCustomError("proposals", "Input should be a list [[x_min, y_min, x_max, y_max], …]") from None
    if not isinstance(value, list | tuple):
        raise PydanticCustomError("proposals", "Input should be a list [[x_min, y_min, x_max, y_max], …]")
    boxes = cast("Sequence[Any]", value)
    if not 1 <= len(boxes) <= MAX_PROPOSALS:
        message = "Input should have 1 to {most} boxes, not {count}"
        raise PydanticCustomError("proposals", message, {"most": MAX_PROPOSALS, "count": len(boxes)})
    for index, box in enumerate(boxes):
        if not isinstance(box, list | tuple) or len(box) != 4 or not all(type(edge) in (int, float) for edge in box):
            raise PydanticCustomError(
                "proposals", "box {index} should be four numbers: x_min, y_min, x_max, y_max", {"index": index}
            )
    try:
        check_proposals(cast("Sequence[Sequence[float]]", boxes))
    except InvalidProposals as error:
        raise PydanticCustomError("proposals", "{problem}", {"problem": str(error)}) from None
    return boxes


Proposals = Annotated[tuple[tuple[float, float, float, float], ...], BeforeValidator(_read_boxes)]


class ObjectParameters(CocoParameters):
    """Parameters that detection and pose estimation share."""

    score_threshold: Share | None = Field(default=None, description="Drop objects with a lower score, 0 to 1.")
    iou_threshold: Share | None = Field(
        default=None,
        description="IoU threshold of NMS: of objects that overlap by more, only the best one is kept, 0 to 1.",
    )
    max_detections: Count | None = Field(default=None, description="The most objects in an image.")
    classes: Classes | None = Field(
        default=None,
        description="Only objects of these classes: names or ids; a list in JSON, with commas between them elsewhere.",
    )
    class_agnostic: bool | None = Field(
        default=None, description="NMS across classes: objects also suppress those of other classes; false by default."
    )


class DetectParameters(ObjectParameters):
    """Detects objects in an image: send it as the raw body, as multipart field `image`, or in base64 in JSON.

    Parameters that are not set default to the model's own.
    """

    proposals: Proposals | None = Field(
        default=None,
        description="For a two-stage model: regions that it classifies instead of its own, a list of x_min, y_min, "
        "x_max, y_max in pixels of the upright image, 1 to 1000; in a query or form as JSON.",
    )
    family: Family | None = Field(
        default=None,
        description="With `proposals`: `fast-rcnn` pools them from the feature maps of the whole image, the default; "
        "`rcnn` runs the network on a crop of each, for at most 100.",
    )

    def check(self, image_count: int) -> None:
        """Check the parameters against each other and the number of images.

        Raises:
            InvalidParameters: they do not fit.
        """
        super().check(image_count)
        if self.proposals is None:
            if self.family is not None:
                raise InvalidParameters("family: it says how proposals are classified; give some", _FAMILY)
            return
        if image_count > 1:
            message = f"proposals: they are of one image, and there are {image_count}; send one in a request"
            raise InvalidParameters(message, _PROPOSALS)
        if self.augment:
            raise InvalidParameters("proposals: they are of the image as it is; leave augment out", _PROPOSALS)
        if self.family == "rcnn" and len(self.proposals) > MAX_CROPS:
            message = f"proposals: {len(self.proposals)} boxes; family=rcnn takes {MAX_CROPS} at most"
            raise InvalidParameters(message, {**_PROPOSALS, "max_proposals": MAX_CROPS})

    def complete(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """As `TaskParameters.complete`; without proposals, equal to what it is for models that know none."""
        completed = super().complete(entry)
        if self.proposals is None:
            del completed["proposals"], completed["family"]
        elif self.family is None:
            completed["family"] = "fast-rcnn"
        return completed


_PROPOSALS: Final = {"parameter": "proposals"}
_FAMILY: Final = {"parameter": "family"}


class Box(Schema):
    """A rectangle in pixels of the upright image, whose top left corner is (0, 0)."""

    x_min: float = Field(ge=0)
    y_min: float = Field(ge=0)
    x_max: float = Field(ge=0)
    y_max: float = Field(ge=0)


class Detection(Schema):
    """One detected object."""

    box: Box
    class_id: int = Field(ge=0)
    class_name: str
    score: float = Field(ge=0, le=1)


class FoundObjects(Found[Detection]):
    """The detected objects of one image; may be empty."""


class DetectAnswer(FoundObjects, Cached, Answered):
    """Response for one image."""


class Detections(FoundObjects, Cached, Listed):
    """The detected objects of one image of several."""


class DetectListAnswer(Answered):
    """Response for several images: one result each, in their order."""

    results: tuple[Detections | ItemError, ...]


class CocoDetection(CocoResult):
    """One object, as a line of a COCO result file. Source: https://cocodataset.org/#format-results"""

    bbox: tuple[float, float, float, float] = Field(description="x, y, width, height in pixels.")


_PERSON: Final = {
    "box": {"x_min": 14.0, "y_min": 109.85, "x_max": 333.76, "y_max": 512.0},
    "class_id": 0,
    "class_name": "person",
    "score": 0.618214,
}

DETECT: Final = TaskApi(
    task="detection",
    path="/v1/detect",
    summary="The objects in one or more images: boxes, classes and scores",
    parameters=DetectParameters,
    found=FoundObjects,
    answer=DetectAnswer | DetectListAnswer | tuple[CocoDetection, ...],
    examples={
        "one image": {
            "model": "yolo-person",
            "version": "1",
            "image": {"height": 512, "width": 512},
            "predictions": [_PERSON],
            "cached": False,
            "request_id": "5f0c8a52a8d14d4c",
        },
        "format=coco": [{"image_id": 0, "category_id": 1, "bbox": [14.0, 109.85, 319.76, 402.15], "score": 0.618214}],
    },
)

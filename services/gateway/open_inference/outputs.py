"""The output tensors of each kind of model, from the answers to the images of a request.

Objects of all images lie one behind the other; `num_detections` or `num_masks` says how many belong to each image.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from models.entries import Kind
from models.geometry.masks import Mask
from models.imaging.decoding import decode
from services.errors import AnswerTooLarge, InvalidParameters
from services.gateway.open_inference.tensors import BYTES, OutputTensor
from services.kinds.detection import BOX_MEMBERS

MAX_PIXELS: Final = 64 * 2**20
"""The most elements of an output that has masks or images as pixels."""

Documents = Sequence[Mapping[str, Any]]
"""The answer to each image as `services.answers.wire.Outcome` has it, parsed."""


@dataclass(frozen=True, slots=True)
class Output:
    """An output of a model.

    Attributes:
        name: Of the tensor.
        datatype: Of the tensor.
        dims: Shape of the tensor; -1 for a size that differs between requests.
        write: From the answers to its elements: an array, or for BYTES a list.
        is_usual: Whether it is returned where the client names no outputs.
        has_classes: Whether its elements are probabilities, for the classification extension.
        part: Of a multi-task network, the part that it belongs to; None of a single model.
    """

    name: str
    datatype: str
    dims: tuple[int, ...]
    write: Callable[[Documents], NDArray[Any] | list[bytes]]
    is_usual: bool = True
    has_classes: bool = False
    part: Kind | None = None

    def of_part(self, kind: Kind) -> Output:
        """The same output of a part of a multi-task network: `detection.boxes`."""
        return replace(self, name=f"{kind}.{self.name}", part=kind)

    def tensor(self, documents: Documents) -> OutputTensor:
        """The tensor for the images of a request.

        Raises:
            InvalidParameters: the images differ in size, and the tensor has pixels of all of them.
        """
        data = self.write(self._own(documents))
        if not isinstance(data, list):
            return OutputTensor.of_array(self.name, self.datatype, data)
        shape = None if len(self.dims) == 1 else (len(documents), len(data) // max(len(documents), 1))
        return OutputTensor.of_strings(self.name, data, shape)

    def top_classes(self, documents: Documents, count: int) -> OutputTensor:
        """The most probable classes of each image, as the text `probability:class id:class name`.

        Source: Triton's classification extension.

        Args:
            documents: Answers of a classifier.
            count: The most classes of an image.
        """
        texts = [
            f"{found['probability']:f}:{found['class_id']}:{found['class_name']}".encode()
            for answer in self._own(documents)
            for found in answer["predictions"][:count]
        ]
        return OutputTensor.of_strings(self.name, texts, (len(documents), len(texts) // max(len(documents), 1)))

    def _own(self, documents: Documents) -> Documents:
        """The answers of its part."""
        if self.part is None:
            return documents
        return [{"image": answer["image"], **answer["parts"][self.part]} for answer in documents]


def _numbers(member: str, dtype: type[np.generic]) -> Callable[[Documents], NDArray[Any]]:
    """A member of all predictions, one behind the other."""

    def write(documents: Documents) -> NDArray[Any]:
        return np.array([found[member] for answer in documents for found in answer["predictions"]], dtype)

    return write


def _rows(member: str, dtype: type[np.generic]) -> Callable[[Documents], NDArray[Any]]:
    """The same, a row for each image."""

    def write(documents: Documents) -> NDArray[Any]:
        return np.array([[found[member] for found in answer["predictions"]] for answer in documents], dtype)

    return write


def _class_names(documents: Documents) -> list[bytes]:
    return [found["class_name"].encode() for answer in documents for found in answer["predictions"]]


def _counts(documents: Documents) -> NDArray[Any]:
    return np.array([len(answer["predictions"]) for answer in documents], np.int32)


def _boxes(documents: Documents) -> NDArray[Any]:
    rows = [[found["box"][edge] for edge in BOX_MEMBERS] for answer in documents for found in answer["predictions"]]
    return np.array(rows, np.float32).reshape(-1, len(BOX_MEMBERS))


def _key_points(documents: Documents) -> NDArray[Any]:
    """x and y of the key points of all objects."""
    places = [[(point["x"], point["y"]) for point in row["keypoints"]] for row in _rows_of(documents)]
    return np.array(places, np.float32).reshape(len(places), -1, 2)


def _key_point_scores(documents: Documents) -> NDArray[Any]:
    scores = [[point["score"] for point in row["keypoints"]] for row in _rows_of(documents)]
    return np.array(scores, np.float32).reshape(len(scores), -1)


def _key_points_visible(documents: Documents) -> NDArray[Any]:
    seen = [[point["visible"] for point in row["keypoints"]] for row in _rows_of(documents)]
    return np.array(seen, np.bool_).reshape(len(seen), -1)


def _rows_of(documents: Documents) -> list[Mapping[str, Any]]:
    return [row for answer in documents for row in answer["predictions"]]


def _sizes(documents: Documents) -> NDArray[Any]:
    return np.array([[answer["image"]["height"], answer["image"]["width"]] for answer in documents], np.int32)


def _run_lengths(documents: Documents) -> list[bytes]:
    return [orjson.dumps(found["mask"]) for answer in documents for found in answer["predictions"]]


def _mask_pixels(documents: Documents) -> NDArray[Any]:
    """The masks of all objects as pixels."""
    masks = [found["mask"] for answer in documents for found in answer["predictions"]]
    pixels = _blank(len(masks), documents)
    for index, mask in enumerate(masks):
        pixels[index] = Mask.from_coco(mask).to_array()
    return pixels


def _class_map(documents: Documents) -> NDArray[Any]:
    """The class of every pixel; 0 is the background."""
    pixels = _blank(len(documents), documents)
    for index, answer in enumerate(documents):
        for found in answer["predictions"]:
            pixels[index][Mask.from_coco(found["mask"]).to_array()] = found["class_id"]
    return pixels


def _blank(masks: int, documents: Documents) -> NDArray[np.uint8]:
    """Zeros for so many masks of the size that all images have."""
    sizes = {(answer["image"]["height"], answer["image"]["width"]) for answer in documents}
    if len(sizes) > 1:
        raise InvalidParameters("pixels of masks are one tensor: the images of the request must have one size")
    height, width = sizes.pop()
    if masks * height * width > MAX_PIXELS:
        message = f"{masks} masks of {height} × {width} pixels are more than {MAX_PIXELS} elements; see `masks`"
        raise AnswerTooLarge(message, {"max_elements": MAX_PIXELS})
    return np.zeros((masks, height, width), np.uint8)


def _pictures(documents: Documents) -> NDArray[Any]:
    """The pixels of the images that a model made, one behind the other."""
    files = [b64decode(row["png"]) for row in _rows_of(documents)]
    pictures = [decode(file, max_bytes=len(file), max_pixels=MAX_PIXELS).pixels for file in files]
    if len({pixels.shape for pixels in pictures}) > 1:
        raise InvalidParameters("`images` is one tensor: the images of the request must have one size")
    if sum(pixels.size for pixels in pictures) > MAX_PIXELS:
        raise AnswerTooLarge(f"the images are more than {MAX_PIXELS} elements", {"max_elements": MAX_PIXELS})
    return np.stack(pictures)


def _json(documents: Documents) -> list[bytes]:
    return [orjson.dumps(answer) for answer in documents]


_IMAGE_SIZES = Output("image_sizes", "INT32", (-1, 2), _sizes)
_OBJECTS = (
    Output("num_detections", "INT32", (-1,), _counts),
    Output("boxes", "FP32", (-1, 4), _boxes),
    Output("scores", "FP32", (-1,), _numbers("score", np.float32)),
)
_CLASSES = (
    Output("class_ids", "INT64", (-1,), _numbers("class_id", np.int64)),
    Output("class_names", BYTES, (-1,), _class_names),
)

_PICTURES: Final = Output("images", "UINT8", (-1, -1, -1, 3), _pictures)
_PREDICTIONS: Final = Output("predictions", BYTES, (-1,), _json, is_usual=False)
"""What every kind of model has: the answer to each image as the JSON of `/v1`."""

_OUTPUTS: Final[Mapping[Kind, tuple[Output, ...]]] = {
    "classification": (
        Output("probabilities", "FP32", (-1, -1), _rows("probability", np.float32), has_classes=True),
        Output("class_ids", "INT64", (-1, -1), _rows("class_id", np.int64)),
        Output("class_names", BYTES, (-1, -1), _class_names),
    ),
    "detection": (*_OBJECTS, *_CLASSES, _IMAGE_SIZES),
    "keypoints": (
        *_OBJECTS,
        *_CLASSES,
        Output("keypoints", "FP32", (-1, -1, 2), _key_points),
        Output("keypoint_scores", "FP32", (-1, -1), _key_point_scores),
        Output("keypoint_visible", "BOOL", (-1, -1), _key_points_visible),
        _IMAGE_SIZES,
    ),
    "instance": (
        *_OBJECTS,
        *_CLASSES,
        Output("masks", BYTES, (-1,), _run_lengths),
        _IMAGE_SIZES,
        Output("mask_pixels", "UINT8", (-1, -1, -1), _mask_pixels, is_usual=False),
    ),
    "semantic": (
        Output("num_masks", "INT32", (-1,), _counts),
        *_CLASSES,
        Output("masks", BYTES, (-1,), _run_lengths),
        _IMAGE_SIZES,
        Output("class_map", "UINT8", (-1, -1, -1), _class_map, is_usual=False),
    ),
    "stylization": (_PICTURES,),
    "generation": (_PICTURES,),
}
"""By kind, its outputs in the order of the metadata; a kind that is not here has `predictions` alone."""


def outputs_of(kind: Kind, parts: Iterable[Kind] = ()) -> tuple[Output, ...]:
    """The outputs of a model.

    Args:
        kind: Of the model.
        parts: Of a multi-task network, the kinds of its parts.
    """
    of_parts = (output.of_part(part) for part in parts for output in _OUTPUTS[part])
    return (*_OUTPUTS.get(kind, ()), *of_parts, _PREDICTIONS)


def usual_outputs(kind: Kind, parts: Iterable[Kind] = ()) -> tuple[Output, ...]:
    """The outputs where the client names none; the arguments are those of `outputs_of`."""
    return tuple(output for output in outputs_of(kind, parts) if output.is_usual) or (_PREDICTIONS,)

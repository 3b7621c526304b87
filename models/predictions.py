"""Predictions of all tasks: frozen dataclasses of parallel arrays, whose shapes are checked on construction."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.entries.skeletons import Skeleton
from models.errors import NonFiniteOutput
from models.geometry.masks import Mask


@dataclass(frozen=True, eq=False)
class Classification:
    """The most probable classes of one image, best first.

    Attributes:
        class_ids: (K,) int64, indices into the model's `class_names`.
        probabilities: (K,) float32 in [0, 1], descending.
        image_size: (height, width) of the upright original in pixels.

    Raises:
        NonFiniteOutput: On construction, where a probability is NaN or infinite.
        ValueError: On construction, where shapes, types or the order do not hold.
    """

    class_ids: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    image_size: tuple[int, int]

    def __post_init__(self) -> None:
        if self.class_ids.ndim != 1 or self.class_ids.shape != self.probabilities.shape:
            raise ValueError(
                f"class_ids {self.class_ids.shape} and probabilities {self.probabilities.shape} must both be (K,)"
            )
        if self.class_ids.dtype != np.int64 or self.probabilities.dtype != np.float32:
            raise ValueError(f"expected int64 and float32, got {self.class_ids.dtype} and {self.probabilities.dtype}")
        _check_finite(self.probabilities)
        if np.any(self.probabilities[1:] > self.probabilities[:-1]):
            raise ValueError("probabilities must descend")


@dataclass(frozen=True, eq=False)
class Detections:
    """The objects detected in one image, by descending score; N may be 0.

    Attributes:
        boxes: (N, 4) float32, x_min, y_min, x_max, y_max in pixels of the upright original: within it, never inverted.
        scores: (N,) float32 in [0, 1], descending.
        class_ids: (N,) int64, indices into the model's `class_names`.
        image_size: (height, width) of the upright original in pixels.

    Raises:
        NonFiniteOutput: On construction, where a box or a score is NaN or infinite.
        ValueError: On construction, where shapes, types, the order or the bounds do not hold.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    image_size: tuple[int, int]

    def __post_init__(self) -> None:
        count = len(self.scores)
        if self.boxes.shape != (count, 4) or self.scores.shape != (count,) or self.class_ids.shape != (count,):
            raise ValueError(
                f"boxes {self.boxes.shape}, scores {self.scores.shape} and class_ids {self.class_ids.shape} must be "
                "(N, 4), (N,) and (N,)"
            )
        types = self.boxes.dtype, self.scores.dtype, self.class_ids.dtype
        if types != (np.float32, np.float32, np.int64):
            raise ValueError(f"expected float32, float32 and int64, got {', '.join(map(str, types))}")
        _check_finite(self.scores)
        _check_finite(self.boxes)
        if np.any(self.scores[1:] > self.scores[:-1]):
            raise ValueError("scores must descend")
        height, width = self.image_size
        starts, ends = self.boxes[:, :2], self.boxes[:, 2:]
        if not np.all((starts >= 0) & (starts <= ends) & (ends <= np.array([width, height], np.float32))):
            raise ValueError("boxes must lie within the image, their minima at or before their maxima")


@dataclass(frozen=True, eq=False)
class InstanceMasks(Detections):
    """The objects detected in one image with a mask of each, by descending score; N may be 0.

    Attributes:
        masks: N, each of the size of the upright original.

    Raises:
        ValueError: On construction, as for `Detections`, and where masks do not belong to the rest.
    """

    masks: tuple[Mask, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.masks) != len(self.scores) or any(mask.size != self.image_size for mask in self.masks):
            raise ValueError(f"expected {len(self.scores)} masks of the size {self.image_size}")


@dataclass(frozen=True, eq=False)
class Poses(Detections):
    """The objects detected in one image with the key points of each, by descending score; N may be 0.

    Attributes:
        key_points: (N, K, 2) float32, x and y in pixels of the upright original, within it.
        key_point_scores: (N, K) float32 in [0, 1]: how sure the network is of the place, see
            `models.pose.heat_maps.scores_of`.
        skeleton: Of the K key points.

    Raises:
        NonFiniteOutput: On construction, as for `Detections`, and where a key point or its score is NaN or infinite.
        ValueError: On construction, as for `Detections`, and where key points do not belong to the rest.
    """

    key_points: NDArray[np.float32]
    key_point_scores: NDArray[np.float32]
    skeleton: Skeleton

    @property
    def pose_scores(self) -> NDArray[np.float32]:
        """(N,) float32 in [0, 1]: the object's score times the mean of its key points', by which poses are ranked."""
        return self.scores * self.key_point_scores.mean(1) if len(self.scores) else self.scores

    def __post_init__(self) -> None:
        super().__post_init__()
        count = (len(self.scores), len(self.skeleton))
        if self.key_points.shape != (*count, 2) or self.key_point_scores.shape != count:
            shapes = self.key_points.shape, self.key_point_scores.shape
            raise ValueError(f"key_points and key_point_scores must be {(*count, 2)} and {count}, not {shapes}")
        if (self.key_points.dtype, self.key_point_scores.dtype) != (np.float32, np.float32):
            raise ValueError("key_points and key_point_scores must be float32")
        _check_finite(self.key_points)
        _check_finite(self.key_point_scores)
        height, width = self.image_size
        if not np.all((self.key_points >= 0) & (self.key_points <= np.array([width, height], np.float32))):
            raise ValueError("key points must lie within the image")


@dataclass(frozen=True, eq=False)
class SemanticMask:
    """The class of every pixel of one image.

    Attributes:
        class_map: (H, W) uint8, indices into the model's `class_names`; 0 is the background, which includes classes
            that the request filters out.
        class_ids: (K,) int64, ascending: the requested classes with at least one pixel; never 0, the background.
        probabilities: (K,) float32 in [0, 1]: mean probability of each class over its pixels. None where not requested.
        image_size: (height, width) of the upright original in pixels.

    Raises:
        NonFiniteOutput: On construction, where a probability is NaN or infinite.
        ValueError: On construction, where shapes, types or the order do not hold.
    """

    class_map: NDArray[np.uint8]
    class_ids: NDArray[np.int64]
    probabilities: NDArray[np.float32] | None
    image_size: tuple[int, int]

    def __post_init__(self) -> None:
        if self.class_map.shape != self.image_size or self.class_map.dtype != np.uint8:
            shape, dtype = self.class_map.shape, self.class_map.dtype
            raise ValueError(f"class_map must be {self.image_size} of uint8, not {shape} of {dtype}")
        if self.class_ids.dtype != np.int64 or (
            self.probabilities is not None and self.probabilities.dtype != np.float32
        ):
            raise ValueError("class_ids must be int64, and probabilities float32")
        if self.class_ids.ndim != 1 or np.any(self.class_ids <= 0) or np.any(np.diff(self.class_ids) <= 0):
            raise ValueError("class_ids must be (K,), ascending, without the background")
        if self.probabilities is not None and self.probabilities.shape != self.class_ids.shape:
            raise ValueError(f"probabilities {self.probabilities.shape} must be one for each class")
        if self.probabilities is not None:
            _check_finite(self.probabilities)


@dataclass(frozen=True, eq=False)
class Picture:
    """An image that a network makes, or a grid of several of one size.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        count: Images in the grid, row by row; cells after the last one are black.
        columns: Columns of the grid.
        class_ids: Of each image, indices into the model's `class_names`; empty where images have no class.

    Raises:
        ValueError: On construction, where shape or type do not hold, or the image is no such grid.
    """

    pixels: NDArray[np.uint8]
    count: int = 1
    columns: int = 1
    class_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        shape, dtype = self.pixels.shape, self.pixels.dtype
        if self.pixels.ndim != 3 or shape[2] != 3 or 0 in shape or dtype != np.uint8:
            raise ValueError(f"pixels must be (H, W, 3) of uint8, not {shape} of {dtype}")
        if self.count < 1 or not 1 <= self.columns <= self.count or shape[1] % self.columns or shape[0] % self.rows:
            raise ValueError(
                f"{shape[0]} x {shape[1]} pixels are no grid of {self.count} images in {self.columns} columns"
            )

        if len(self.class_ids) not in (0, self.count):
            raise ValueError(f"{len(self.class_ids)} class ids for {self.count} images")

    @classmethod
    def grid(cls, images: NDArray[np.uint8], class_ids: Sequence[int] = ()) -> "Picture":
        """Joins images in a grid that is about as wide as it is high, row by row.

        Args:
            images: (N, h, w, 3) uint8 RGB, N at least 1.
            class_ids: Of each image; empty where images have no class.
        """
        count, height, width, channels = images.shape
        columns = math.ceil(math.sqrt(count))
        rows = -(-count // columns)
        cells = np.zeros((rows * columns, height, width, channels), images.dtype)
        cells[:count] = images
        joined = cells.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
        return cls(
            np.ascontiguousarray(joined.reshape(rows * height, columns * width, channels)),
            count,
            columns,
            tuple(class_ids),
        )

    @property
    def rows(self) -> int:
        """Rows of the grid."""
        return -(-self.count // self.columns)

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of each image in pixels."""
        return self.pixels.shape[0] // self.rows, self.pixels.shape[1] // self.columns

    def images(self) -> NDArray[np.uint8]:
        """Returns the images of the grid, (count, h, w, 3) uint8 RGB."""
        height, width = self.image_size
        cells = self.pixels.reshape(self.rows, height, self.columns, width, 3).swapaxes(1, 2)
        return cells.reshape(-1, height, width, 3)[: self.count]


def _check_finite(values: NDArray[np.float32]) -> None:
    if not np.isfinite(values).all():
        raise NonFiniteOutput


SinglePrediction = Classification | Detections | InstanceMasks | Poses | SemanticMask
"""The prediction of a single task for one image."""


@dataclass(frozen=True, eq=False)
class Multitask:
    """The predictions of a multi-task network for one image.

    Attributes:
        parts: By kind, in the order of `models.kinds.KINDS`: those that the request wants, at least one.
        image_size: (height, width) of the upright original in pixels.
        class_names: Of each part, by kind: one for every class id.

    Raises:
        ValueError: On construction, where there is no part, or one of another image size.
    """

    parts: Mapping[str, SinglePrediction]
    image_size: tuple[int, int]
    class_names: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        if not self.parts:
            raise ValueError("parts must have at least one prediction")
        if any(part.image_size != self.image_size for part in self.parts.values()):
            raise ValueError(f"all parts must be of an image of {self.image_size}")


Prediction = SinglePrediction | Multitask | Picture
"""The prediction of any task for one image."""

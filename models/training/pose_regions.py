"""The pooled regions that a keypoint branch learns from: computed once by the frozen detector, kept in a file."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.detection.keypoint_rcnn import KeypointRCNN

from models.datasets.key_points import BODY_SHARE
from models.datasets.photo_dataset import Photo, PhotoDataset
from models.detection.region_pool import RegionPool
from models.entries import LetterboxPreprocessing
from models.entries.skeletons import Skeleton
from models.execution.executor import executor_for
from models.imaging.letterbox import Letterbox
from models.pose.heat_maps import in_cells, regions_around
from models.runtime import Runtime
from models.training.canvas import mirrored_points
from models.training.keypoint_rcnn_loss import JITTER
from models.training.photos import PhotoReader

_JITTERED: Final = 2
"""Regions of an object in a view."""
_CELLS: Final = 2
"""Cells of a heat map for each cell of a region along a side."""
_LEAST_SCALE: Final = 0.65
_GAIN: Final = 0.3
_TINT: Final = 0.07
_STEP: Final = 32
_PROBE_SIDE: Final = 64
_MADE: Final = 2
"""Counts the ways in which regions are made, so that those of an older one are made anew."""


@dataclass(frozen=True, eq=False)
class PooledRegions:
    """Regions with their key points.

    Attributes:
        features: (R, C, 14, 14) float16, pooled by RoIAlign; in a file.
        points: (R, K, 3) float32: x and y in cells of the heat map, and COCO's visibility.
        areas: (R,) float32, the person's area in square cells: `BODY_SHARE` of its box, scaled as the region is.
    """

    features: NDArray[np.float16]
    points: NDArray[np.float32]
    areas: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.points)

    def batch(self, indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Features (N, C, 14, 14) float16 and points (N, K, 3) float32 of some regions."""
        return torch.from_numpy(self.features[np.sort(indices)]), torch.from_numpy(self.points[np.sort(indices)])


class _Levels(nn.Module):
    """A feature pyramid that returns its levels, fine to coarse."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> list[Tensor]:
        return list(self.backbone(images).values())


class RegionMaker:
    """Pools regions of photos by a frozen detector.

    Args:
        network: With the detector's weights.
        preprocessing: Of the model.
        runtime: A resolved runtime.
        skeleton: Of the key points.
        seed: Of every random choice.
        flip: Whether every second view is mirrored; never where no point of the skeleton has another side.
    """

    def __init__(
        self,
        network: KeypointRCNN,
        preprocessing: LetterboxPreprocessing,
        runtime: Runtime,
        skeleton: Skeleton,
        seed: int,
        flip: bool = True,
    ) -> None:
        heads: Any = network.roi_heads
        backbone = cast(Any, network.backbone)
        with torch.no_grad():
            self._names = list(backbone(torch.zeros(1, 3, _PROBE_SIDE, _PROBE_SIDE)))
        self._digest = _digest(backbone)
        self._executor = executor_for(_Levels(backbone), preprocessing, runtime)
        self._pool = RegionPool(heads.keypoint_roi_pool)
        self._channels = int(backbone.out_channels)
        self._margin: float = getattr(network, "region_margin", 0.0)
        self._preprocessing = preprocessing
        self._skeleton = skeleton
        self._seed, self._flip = seed, flip and skeleton.has_sides

    def make(
        self, dataset: PhotoDataset, views: int, folder: Path, name: str, tell: Callable[[int, int], None]
    ) -> PooledRegions:
        """Pools the regions of all people that have key points, or reads those that the same call left in the folder.

        Args:
            dataset: The photos.
            views: Of each photo: the first one as it is, the second mirrored, further ones smaller and recoloured.
                With 0, only the boxes of the annotations, of the photo as it is.
            folder: For the file.
            name: Of the file.
            tell: Takes the number of photos done, and all.
        """
        path, facts = folder / f"{name}.f16", self._facts(dataset, views)
        kept = _read(path, facts)
        if kept is not None:
            return kept
        points: list[NDArray[np.float32]] = []
        areas: list[NDArray[np.float32]] = []
        reader = PhotoReader(dataset.photos, self._preprocessing.long_side, cache_bytes=0)
        shape = (self._channels, *self._pool.output_size)
        path.with_suffix(".json").unlink(missing_ok=True)  # from here on it would describe other regions
        with path.open("wb") as file:
            for index in range(len(dataset.photos)):
                for pooled, placed, area in self._of_photo(reader, index, views):
                    file.write(pooled.half().contiguous().numpy().tobytes())
                    points.append(placed)
                    areas.append(area)
                tell(index + 1, len(dataset.photos))
        np.savez(path.with_suffix(".npz"), points=np.concatenate(points), areas=np.concatenate(areas))
        path.with_suffix(".json").write_text(json.dumps({**facts, "shape": shape}), encoding="utf-8")
        kept = _read(path, facts)
        assert kept is not None
        return kept

    def _facts(self, dataset: PhotoDataset, views: int) -> dict[str, Any]:
        """All that the regions depend on, ready for JSON."""
        return {
            "made": _MADE,
            "data": dataset.fingerprint,
            "views": views,
            "seed": self._seed,
            "flip": self._flip,
            "network": self._digest,
            "margin": self._margin,
            "preprocessing": json.loads(json.dumps(asdict(self._preprocessing))),
        }

    def _of_photo(
        self, reader: PhotoReader, index: int, views: int
    ) -> Iterator[tuple[Tensor, NDArray[np.float32], NDArray[np.float32]]]:
        photo, pixels = reader.read(index)
        if photo.key_points is None or not (photo.key_points[..., 2] > 0).any():
            return
        for view in range(max(1, views)):
            rng = np.random.default_rng((self._seed, index, view))
            yield from self._of_view(photo, pixels, view, rng, as_annotated=views == 0)

    @torch.inference_mode()
    def _of_view(
        self, photo: Photo, pixels: NDArray[np.uint8], view: int, rng: np.random.Generator, as_annotated: bool
    ) -> Iterator[tuple[Tensor, NDArray[np.float32], NDArray[np.float32]]]:
        assert photo.key_points is not None
        people = np.flatnonzero((photo.key_points[..., 2] > 0).any(1))
        boxes, points = photo.boxes[people].astype(np.float64), photo.key_points[people].copy()
        if view % 2 and self._flip:
            pixels, boxes, points = mirrored(pixels, boxes, points, photo.size[1], self._skeleton)
        side = self._preprocessing.long_side
        if view > 1:
            side = _STEP * int(rng.integers(round(_LEAST_SCALE * side / _STEP), side // _STEP + 1))
            pixels = _recoloured(pixels, rng)
        letterbox = Letterbox.fit(photo.size, replace(self._preprocessing, short_side=side, long_side=side))
        placed = letterbox.place(np.ascontiguousarray(pixels))
        vertical, horizontal = letterbox.scale
        known = torch.from_numpy(boxes * np.array([horizontal, vertical] * 2)).float()
        where = torch.from_numpy(points[..., :2] * np.array([horizontal, vertical])).float()
        levels = [level.contiguous() for level in self._executor.run_all(placed[None])]
        chosen, owners = _training_boxes(known, 0 if as_annotated else _JITTERED, rng)
        around = regions_around(chosen, self._margin)
        pooled = self._pool(dict(zip(self._names, levels, strict=True)), around, placed.shape[:2])
        side_cells = _CELLS * self._pool.output_size[0]
        cells = in_cells(where[owners], around, side_cells).numpy()
        seen = points[owners.numpy(), :, 2:]
        sizes = BODY_SHARE * (known[:, 2:] - known[:, :2]).prod(1)[owners] / (around[:, 2:] - around[:, :2]).prod(1)
        yield pooled, np.concatenate([cells, seen], 2).astype(np.float32), (sizes * side_cells**2).numpy()


def _digest(network: nn.Module) -> str:
    """sha256 of the layers and weights of a network, in hex."""
    found = sha256(str(network).encode())
    for name, values in network.state_dict().items():
        found.update(name.encode())
        found.update(values.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def _training_boxes(known: Tensor, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """So many boxes near that of each object, or these themselves; and whose they are."""
    owners = torch.arange(len(known)).repeat(max(1, count))
    boxes = known[owners]
    if not count:
        return boxes, owners
    sizes = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    return boxes + torch.from_numpy(rng.uniform(-JITTER, JITTER, tuple(boxes.shape))).float() * sizes, owners


def mirrored(
    pixels: NDArray[np.uint8],
    boxes: NDArray[np.float64],
    points: NDArray[np.float64],
    width: int,
    skeleton: Skeleton,
) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64]]:
    """Mirrors an image with its boxes and key points: left and right of the skeleton change places, too.

    Args:
        pixels: (H, W, 3).
        boxes: (N, 4) x_min, y_min, x_max, y_max in pixels of the annotation.
        points: (N, K, 3) x, y and visibility, likewise.
        width: Of the image in these pixels.
        skeleton: Of the key points.
    """
    turned = boxes.copy()
    turned[:, 0], turned[:, 2] = width - boxes[:, 2], width - boxes[:, 0]
    return pixels[:, ::-1], turned, mirrored_points(points, width, skeleton.mirrored)


def _recoloured(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    gains = rng.uniform(1 - _GAIN, 1 + _GAIN) * rng.uniform(1 - _TINT, 1 + _TINT, 3)
    return (pixels * gains.astype(np.float32)).clip(0, 255).astype(np.uint8)


def _read(path: Path, facts: dict[str, Any]) -> PooledRegions | None:
    """What an earlier call left; None where it did not end, or was for other data."""
    try:
        written: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        shape = written.pop("shape")
        if written != facts:
            return None
        arrays = np.load(path.with_suffix(".npz"))
        points, areas = arrays["points"], arrays["areas"]
        features = np.memmap(path, np.float16, "r", shape=(len(points), *shape))
    except (OSError, ValueError, KeyError):
        return None
    return PooledRegions(features, points, areas)

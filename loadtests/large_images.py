"""Measures what segmenting a photo of twelve megapixels takes: time, and memory beyond the loaded model (Linux only).

    python -m loadtests.large_images                      # the bundled segmenters
    python -m loadtests.large_images --model unet-nuclei --size 6000x8000

Each model runs in a process of its own: the photo from encoded bytes to a prediction, and the prediction to JSON in
each format of masks. `objects` is a made-up answer of a hundred objects on a photo of that size, as a crowd would give.
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
import orjson
import torch
from PIL import Image

from models.catalog.loading import load
from models.detection.candidates import Candidates
from models.entries import LetterboxPreprocessing, MaskFormat
from models.imaging.letterbox import Letterbox
from models.parameters import SegmentationParameters
from models.predictions import Prediction
from models.segmentation.instances import instances_from
from models.segmentation.mask_rcnn_regions import RegionMasks
from services.answers.wire import describe_prediction

SIZE: Final = (3000, 4000)
MODELS: Final = ("unet-nuclei", "unet-person", "mask-rcnn-person", "mask-rcnn-nuclei")
FORMATS: Final[Sequence[MaskFormat]] = ("rle", "polygon", "png")
OBJECTS: Final = 100
OBJECTS_ROW: Final = "objects"
_MIB: Final = 2**20


def main() -> None:
    """Measures and prints a table."""
    options = parse_options()
    print(f"photo of {options.size[0]} x {options.size[1]} pixels\n")
    print("| what | memory beyond the model, MiB | predict, s | rle, s | polygon, s | png, s |")
    print("| --- | --- | --- | --- | --- | --- |")
    data = _jpeg(options.size)
    for what in (*options.model, OBJECTS_ROW):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            print(pool.apply(measured, (what, options.size, data)), flush=True)


def parse_options() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.large_images", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--model", nargs="+", default=MODELS, help="which; by default all bundled segmenters")
    parser.add_argument("--size", type=_size, default=SIZE, metavar="HxW", help="of the photo; 3000x4000 by default")
    return parser.parse_args()


def measured(what: str, size: tuple[int, int], data: bytes) -> str:
    """The row of the table for a model and an encoded photo, or for `objects` and a size."""
    torch.get_num_threads()  # or the first computation would set it to what it was
    torch.set_num_threads(1)
    predict, class_names = _crowd(size) if what == OBJECTS_ROW else _photo(what, data)
    before = _held_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew: see proc_pid_clear_refs(5)
    started_at = time.perf_counter()
    prediction = predict()
    times = [time.perf_counter() - started_at]
    for mask_format in FORMATS:
        started_at = time.perf_counter()
        orjson.dumps(describe_prediction(prediction, class_names, SegmentationParameters(mask_format=mask_format)))
        times.append(time.perf_counter() - started_at)
    return (
        f"| {what} | {(_held_bytes('VmHWM') - before) / _MIB:.0f} | "
        + " | ".join(f"{seconds:.2f}" for seconds in times)
        + " |"
    )


def _photo(model: str, data: bytes) -> tuple[Callable[[], Prediction], Sequence[str]]:
    """A model that has met a small photo."""
    adapter = load(model)
    adapter.predict([_jpeg((300, 400))])
    return lambda: adapter.predict([data])[0], adapter.class_names


def _crowd(size: tuple[int, int]) -> tuple[Callable[[], Prediction], Sequence[str]]:
    """A hundred objects of a fiftieth of the picture each, at random places."""
    rng = np.random.default_rng(0)
    letterbox = Letterbox.fit(size, LetterboxPreprocessing(416, 416, (0, 0, 0), (1, 1, 1)))
    height, width = letterbox.resized_size
    sides = np.sqrt(height * width / 50)
    corners = rng.uniform(0, 1, (OBJECTS, 2)) * [width - sides, height - sides]
    boxes = torch.from_numpy(np.concatenate([corners, corners + sides], 1)).float()
    rows, columns = np.mgrid[-1:1:28j, -1:1:28j]
    disc = torch.from_numpy((rows**2 + columns**2 < 0.8).astype(np.float32))
    objects = Candidates(boxes, torch.linspace(0.99, 0.6, OBJECTS), torch.zeros(OBJECTS, dtype=torch.int64))
    found = RegionMasks(objects, disc.expand(OBJECTS, -1, -1).contiguous().__getitem__)
    parameters = SegmentationParameters(max_detections=OBJECTS)
    return lambda: instances_from(found, letterbox, parameters), ("object",)


def _jpeg(size: tuple[int, int]) -> bytes:
    """Bright discs on a dark ground."""
    height, width = size
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    discs = np.hypot(rows % 60 - 30, columns % 60 - 30) < 14
    noise = np.random.default_rng(0).integers(0, 30, size)
    file = BytesIO()
    Image.fromarray((discs * 150 + noise).astype(np.uint8)).convert("RGB").save(file, "JPEG", quality=90)
    return file.getvalue()


def _held_bytes(figure: str) -> int:
    """Memory of this process: what it holds (`VmRSS`), or the most that it held (`VmHWM`); see proc_pid_status(5)."""
    rows = dict(row.split(":", 1) for row in Path("/proc/self/status").read_text().splitlines())
    return int(rows[figure].split()[0]) * 1024


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    return int(height), int(width)


if __name__ == "__main__":
    main()

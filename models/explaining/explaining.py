"""Explains the prediction of a model for one image."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any, Final, cast

import numpy as np
import torch
from torch import Tensor, nn

from models.adapter import Adapter, ModelInput
from models.catalog.lookup import find
from models.catalog.onnx_models import is_onnx
from models.entries import LetterboxPreprocessing
from models.errors import CannotExplain
from models.execution.finite import require_finite
from models.explaining.areas import area_of, cells_of_image, part_of
from models.explaining.captum_library import require_captum
from models.explaining.class_choice import class_id_of
from models.explaining.explanation import WITH_BOXES, Area, Explanation, Heat, Question
from models.explaining.feature_sheet import feature_sheet
from models.explaining.grad_cam import grad_cam
from models.explaining.layer_choice import deepest, layer_of_box
from models.explaining.map_layers import MapLayer, find_map_layers
from models.explaining.network_layers import NetworkLayers, blank_input, network_layers
from models.explaining.occlusion import occlude
from models.explaining.plain_model import PlainModel, load_fast, load_plain, require_layers, require_network
from models.explaining.subjects import find_subject, not_differentiable
from models.imaging.decoding import MAX_BYTES, MAX_PIXELS
from models.imaging.letterbox import Letterbox

LISTED: Final = 20
"""The most layers that a message lists."""


class Explainer:
    """Explains the predictions of one model. What a method needs is loaded by the first question that asks for it.

    Args:
        name: A name of `models.catalog.lookup`.
        num_threads: Threads of a run by OpenVINO or onnxruntime; None: as many as torch has.

    Attributes:
        entry: The catalog entry of the model.
    """

    def __init__(self, name: str, num_threads: int | None = None) -> None:
        self._name = name
        self._num_threads = num_threads
        self.entry = find(name)
        require_network(self.entry)

    @cached_property
    def _plain(self) -> PlainModel:
        return load_plain(self._name)

    @cached_property
    def _fast(self) -> Adapter[Any, Any]:
        return load_fast(self._name, self._num_threads)

    @cached_property
    def _known(self) -> tuple[MapLayer, ...]:
        return find_map_layers(self._plain.network.modules, self._usual_size())

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers whose maps can be asked for, in the order of the network; not of an ONNX file."""
        return tuple(layer.name for layer in self._known)

    @cached_property
    def network_layers(self) -> NetworkLayers:
        """All layers of the network, for a square image as large as the network takes it, and its first filters.

        Raises:
            CannotExplain: The model is an ONNX file.
            ModelsError: The model cannot be loaded.
        """
        require_layers(self.entry)
        return network_layers(self._plain, blank_input(self._plain, self._usual_size()))

    def explain(
        self,
        image: bytes,
        question: Question,
        check: Callable[[], None] = lambda: None,
        *,
        max_bytes: int = MAX_BYTES,
        max_pixels: int = MAX_PIXELS,
    ) -> Explanation:
        """Explains the prediction for an image.

        Args:
            image: The encoded file.
            question: What is asked.
            check: Called between steps; it raises where there is no time left.
            max_bytes: The most bytes that are accepted.
            max_pixels: The most pixels (height x width) that are accepted.

        Raises:
            CannotExplain: The model has no such class or layer, cannot be explained like that or does not find the
                box, or the image is too large for it.
            ExplainingUnavailable: captum is not installed.
            ImageError: The bytes are no image that can be read.
            NonFiniteOutput: The network returned NaN or infinity.
            ModelsError: The model cannot be loaded.
        """
        self._check(question)
        adapter = self._fast if question.method == "occlusion" else self._plain.adapter
        class_id = class_id_of(question, self.entry, adapter.class_names)
        if question.layer is not None and not self._has_module(question):
            self._layer(question.layer)
        check()
        decoded = adapter.decode(image, max_bytes=max_bytes, max_pixels=max_pixels)
        given = adapter.preprocess(decoded)
        self._require_untiled(given)
        check()
        entry = self.entry
        blank = Explanation(entry.name, entry.version, entry.task, question.method, decoded.size)
        if question.method == "features":
            return self._features(blank, given, question)
        box = self._box_in_input(question, decoded.size)
        if question.method == "occlusion":
            found = occlude(adapter, given, class_id, box, check)
            about = found.class_id, found.score, found.box
            return self._explained(blank, *about, found.heat, (given.pixels.shape[0], given.pixels.shape[1]))
        return self._grad_cam(blank, given, question, class_id, box, check)

    def _check(self, question: Question) -> None:
        """Checks a question without the network."""
        name, kind = self.entry.name, self.entry.kind
        if question.target is not None and kind not in WITH_BOXES:
            raise CannotExplain(f"box is for detectors and instance segmenters: leave it out for {name}", "box")
        if question.call > 1 and question.method != "features":
            raise CannotExplain("call is for method=features: leave it out", "call")
        if question.method == "features":
            _refuse_subject(question)
        elif kind == "keypoints":
            raise CannotExplain("poses cannot be explained: ask for method=features", "method", ("features",))
        else:
            require_captum()
        if question.method != "occlusion" and is_onnx(self.entry):
            if question.method == "gradcam":
                raise not_differentiable(name)
            message = f"{name} is an ONNX file without layers to look into: ask for method=occlusion"
            raise CannotExplain(message, "method", ("occlusion",))

    def _grad_cam(
        self,
        blank: Explanation,
        given: ModelInput,
        question: Question,
        class_id: int | None,
        box: Tensor | None,
        check: Callable[[], None],
    ) -> Explanation:
        network = self._plain.network
        images = network.normalised(given.pixels[None])
        size = (images.shape[2], images.shape[3])
        with torch.no_grad():
            outputs = network.outputs(images)
        require_finite(*outputs)
        subject = find_subject(self._plain, outputs, size, class_id, box)
        check()
        layer = self._layer(question.layer) if question.layer else None
        if layer is None and subject.box is not None:
            layer = layer_of_box(network, images, subject, self._known)
        layer = layer or self._deepest()
        check()
        heat = grad_cam(network, images, subject, layer)
        covered = self._covered(layer, (heat.shape[0], heat.shape[1]), size)
        explained = self._explained(blank, subject.class_id, subject.score, subject.box, heat, covered)
        return replace(explained, layer=layer.name, layers=self.layers)

    def _covered(self, layer: MapLayer, grid: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
        """The pixels (height, width) of the input that a map of (rows, columns) covers: more than the input where the
        network pads it, as those of torchvision do."""
        if not isinstance(self.entry.preprocessing, LetterboxPreprocessing):
            return size
        multiple: int = getattr(self._plain.network.modules, "multiple", 1)
        strides = layer.field.stride if layer.field is not None else (None, None)
        height, width = (
            max(-(-side // multiple) * multiple, round(cells * (stride or 0)))
            for side, cells, stride in zip(size, grid, strides, strict=True)
        )
        return height, width

    def _features(self, blank: Explanation, given: ModelInput, question: Question) -> Explanation:
        network, preprocessing = self._plain.network, self.entry.image_preprocessing
        name = self._deepest().name if question.layer is None else question.layer
        images = network.normalised(given.pixels[None])
        try:
            sheet = feature_sheet(network.modules, images, (name, question.call), blank.image_size, preprocessing)
        except ValueError as error:
            raise CannotExplain(f"{self.entry.name}: {error}", "layer", self.layers) from None
        return replace(blank, layer=name, layers=self.layers, sheet=sheet)

    def _explained(
        self,
        blank: Explanation,
        class_id: int,
        score: float,
        box: Tensor | None,
        heat: Tensor,
        covered: tuple[int, int],
    ) -> Explanation:
        """The explanation with a heat map whose cells cover (height, width) pixels of the network's input."""
        preprocessing, size = self.entry.image_preprocessing, blank.image_size
        area = area_of(covered, size, preprocessing)
        grid = (heat.shape[0], heat.shape[1])
        cells = cells_of_image(grid, size, area)
        heat = heat[: cells[0], : cells[1]]
        values: Any = (heat / heat.max().clamp(min=torch.finfo(torch.float32).tiny)).clamp(0, 1).numpy()
        in_image: Area | None = None
        if box is not None:
            assert isinstance(preprocessing, LetterboxPreprocessing)
            x_min, y_min, x_max, y_max = map(float, Letterbox.fit(size, preprocessing).restore(box[None])[0])
            in_image = (x_min, y_min, x_max, y_max)
        return replace(
            blank,
            class_id=class_id,
            class_name=self._class_names[class_id],
            score=min(1.0, max(0.0, score)),
            box=in_image,
            heat=Heat(np.ascontiguousarray(values, np.float32), part_of(area, grid, cells)),
        )

    @property
    def _class_names(self) -> tuple[str, ...]:
        loaded = self.__dict__.get("_fast")
        return loaded.class_names if loaded is not None else self._plain.adapter.class_names

    def _deepest(self) -> MapLayer:
        found = deepest(self._known, len(self._class_names))
        if found is None:
            raise not_differentiable(self.entry.name)
        return found

    def _has_module(self, question: Question) -> bool:
        """Whether the method takes the layer of the question without maps of its own: each module may have some."""
        if question.method == "features":
            modules = cast("Iterator[tuple[str, nn.Module]]", self._plain.network.modules.named_modules())
            return any(name == question.layer for name, _ in modules if name)
        return question.method == "occlusion"

    def _layer(self, name: str) -> MapLayer:
        found = next((layer for layer in self._known if layer.name == name), None)
        if found is None:
            listed = ", ".join(self.layers[-LISTED:])
            more = f"the last {LISTED} of {len(self.layers)} are" if len(self.layers) > LISTED else "there are"
            message = f"{self.entry.name} has no layer {name[:80]!r} that returns feature maps; {more}: {listed}"
            raise CannotExplain(message, "layer", self.layers)
        return found

    def _box_in_input(self, question: Question, image_size: tuple[int, int]) -> Tensor | None:
        if question.target is None:
            return None
        preprocessing = self.entry.preprocessing
        assert isinstance(preprocessing, LetterboxPreprocessing)
        return Letterbox.fit(image_size, preprocessing).project(torch.tensor([question.target.box]))[0]

    def _require_untiled(self, given: ModelInput) -> None:
        tile = getattr(self.entry.preprocessing, "tile", None)
        if tile is not None and max(given.pixels.shape[:2]) > tile:
            raise CannotExplain(
                f"{self.entry.name} runs large images in tiles, and explains one tile: send a part of the image of at "
                f"most {tile} pixels a side",
                "image",
            )

    def _usual_size(self) -> tuple[int, int]:
        preprocessing = self.entry.preprocessing
        height, width = preprocessing.largest_size
        tile = getattr(preprocessing, "tile", None) or 640
        return min(height, tile, 640), min(width, tile, 640)


def _refuse_subject(question: Question) -> None:
    """Refuses a class or a box of `features`, which shows maps of the whole image."""
    for parameter, given in (("box", question.target), ("class", question.wanted_class)):
        if given is not None:
            message = f"method=features shows maps of the whole image: leave {parameter} out"
            raise CannotExplain(message, parameter)

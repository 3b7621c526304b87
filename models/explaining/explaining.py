"""Explains the prediction of a model for one image."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from models.adapter import ModelInput
from models.entries import LetterboxPreprocessing
from models.errors import CannotExplain
from models.explaining.areas import cells_of_image, input_area, part_of
from models.explaining.captum_library import require_captum
from models.explaining.explanation import Area, Explanation, FeatureMaps, Heat, Question
from models.explaining.grad_cam import grad_cam, level_of
from models.explaining.map_layers import MapLayer, find_map_layers, kept_maps
from models.explaining.occlusion import occlude
from models.explaining.plain_model import PlainModel
from models.explaining.receptive_fields import receptive_field
from models.explaining.subjects import find_subject, not_differentiable
from models.imaging.decoding import DecodedImage
from models.imaging.letterbox import Letterbox
from models.kinds import KINDS
from models.detection.yolox import Yolox

SHOWN_MAPS: Final = 64
"""The most maps of a contact sheet."""
LISTED: Final = 20
"""The most layers that a message lists; the error carries all."""


class Explainer:
    """A model that explains its predictions.

    Args:
        model: The model in float32.

    Attributes:
        layers: The layers whose maps can be asked for, in the order of the network; none of an ONNX file.
    """

    def __init__(self, model: PlainModel) -> None:
        self._model = model
        self._adapter = model.adapter
        self._entry = model.adapter.entry
        self._known: tuple[MapLayer, ...] = ()
        if model.network is not None:
            self._known = find_map_layers(model.network.modules, self._usual_size())
        self.layers = tuple(layer.name for layer in self._known)

    def check(self, question: Question) -> int | None:
        """Checks a question without an image.

        Args:
            question: What is asked.

        Returns:
            Id of the class that is asked for; None: the best one.

        Raises:
            CannotExplain: The model has no such class or layer, or cannot be explained like that.
            ExplainingUnavailable: captum is not installed.
        """
        if question.method != "features":
            require_captum()
        if question.method != "occlusion" and self._model.network is None:
            if question.method == "features":
                message = f"{self._entry.name} is an ONNX file, whose layers cannot be looked into"
                raise CannotExplain(message, "method", ("occlusion",))
            raise not_differentiable(self._entry.name)
        if question.layer is not None and question.method != "occlusion":
            self._layer(question.layer)
        if question.target is not None and self._entry.kind not in ("detection", "instance"):
            raise CannotExplain(f"{self._entry.name} predicts no boxes: leave box out", "box")
        if question.method == "features":
            return None
        return question.target.class_id if question.target else self._class_id(question.wanted_class)

    def explain(
        self, image: DecodedImage, question: Question, check: Callable[[], None] = lambda: None
    ) -> Explanation:
        """Explains the prediction for an image.

        Args:
            image: From the adapter's `decode`.
            question: What is asked.
            check: Called between steps; it raises where there is no time left.

        Raises:
            CannotExplain: See `check`; or the network does not find the box, or the image is too large.
            ExplainingUnavailable: captum is not installed.
        """
        class_id = self.check(question)
        given = self._adapter.preprocess(image)
        self._require_untiled(given)
        entry = self._entry
        blank = Explanation(entry.name, entry.version, entry.task, question.method, image.size, layers=self.layers)
        if question.method == "features":
            return self._features(blank, given, question)
        box = self._box_in_input(question, image.size)
        if question.method == "occlusion":
            found = occlude(self._adapter, given, class_id, box, check)
            return self._explained(blank, found.class_id, found.score, found.box, found.heat)
        return self._grad_cam(blank, given, question, class_id, box, check)

    def _grad_cam(
        self,
        blank: Explanation,
        given: ModelInput,
        question: Question,
        class_id: int | None,
        box: Tensor | None,
        check: Callable[[], None],
    ) -> Explanation:
        network = self._model.network
        assert network is not None
        images = network.normalised(given.pixels[None])
        size = (images.shape[2], images.shape[3])
        check()
        with torch.no_grad():
            levels, outputs = self._levels(images)
        subject = find_subject(self._model, outputs, size, class_id, box)
        check()
        if question.layer is not None:
            layer = self._layer(question.layer)
        elif subject.box is not None and levels:
            layer = level_of(network, images, subject, levels)
        else:
            layer = self._deepest()
        check()
        heat = grad_cam(network, images, subject, layer)
        explained = self._explained(blank, subject.class_id, subject.score, subject.box, heat)
        return replace(explained, layer=layer.name)

    def _features(self, blank: Explanation, given: ModelInput, question: Question) -> Explanation:
        network = self._model.network
        assert network is not None
        layer = self._deepest() if question.layer is None else self._layer(question.layer)
        images = network.normalised(given.pixels[None])
        with torch.no_grad(), kept_maps(network.modules, [layer.name]) as maps:
            network.outputs(images)
        values = layer.upright(maps[layer.name])[0]
        strength = values.flatten(1).std(1)
        channels = strength.topk(min(SHOWN_MAPS, len(values))).indices.sort().values
        shown = FeatureMaps(
            values[channels].numpy(),
            channels.numpy(),
            len(values),
            receptive_field(network.modules, layer.name, self._usual_size()),
        )
        return replace(blank, layer=layer.name, features=shown)

    def _explained(
        self, blank: Explanation, class_id: int, score: float, box: Tensor | None, heat: Tensor
    ) -> Explanation:
        preprocessing, size = self._entry.preprocessing, blank.image_size
        area = input_area(size, preprocessing)
        grid = (heat.shape[0], heat.shape[1])
        cells = cells_of_image(grid, size, area)
        heat = heat[: cells[0], : cells[1]]
        values: Any = (heat / heat.max().clamp(min=torch.finfo(torch.float32).tiny)).clamp(0, 1).numpy()
        in_image: Area | None = None
        if box is not None:
            assert isinstance(preprocessing, LetterboxPreprocessing)
            x_min, y_min, x_max, y_max = Letterbox.fit(size, preprocessing).restore(box[None])[0].tolist()
            in_image = (x_min, y_min, x_max, y_max)
        return replace(
            blank,
            class_id=class_id,
            class_name=self._adapter.class_names[class_id],
            score=min(1.0, max(0.0, score)),
            box=in_image,
            heat=Heat(np.ascontiguousarray(values, np.float32), part_of(area, grid, cells)),
        )

    def _levels(self, images: Tensor) -> tuple[list[MapLayer], tuple[Tensor, ...]]:
        """The layers that return the levels of a detector's pyramid, and the outputs of the network."""
        network = self._model.network
        assert network is not None
        with kept_maps(network.modules, self.layers) as maps:
            outputs = network.outputs(images)
        if isinstance(network.modules, Yolox):
            return [layer for layer in self._known if layer.name.rpartition(".")[0] == "head.stems"], outputs
        returned = {output.data_ptr() for output in outputs}
        return [layer for layer in self._known if maps[layer.name].data_ptr() in returned], outputs

    def _deepest(self) -> MapLayer:
        """The last layer of the smallest maps, but for one that returns the scores of classes."""
        if not self._known:
            raise not_differentiable(self._entry.name)
        counts = (len(self._adapter.class_names), 1)
        candidates = [layer for layer in self._known if layer.channels not in counts] or list(self._known)
        least = min(layer.size[0] * layer.size[1] for layer in candidates)
        return next(layer for layer in reversed(candidates) if layer.size[0] * layer.size[1] == least)

    def _layer(self, name: str) -> MapLayer:
        found = next((layer for layer in self._known if layer.name == name), None)
        if found is None:
            listed = ", ".join(self.layers[-LISTED:])
            more = f"the last {LISTED} of {len(self.layers)} are" if len(self.layers) > LISTED else "there are"
            message = f"{self._entry.name} has no layer {name[:80]!r} that returns feature maps; {more}: {listed}"
            raise CannotExplain(message, "layer", self.layers)
        return found

    def _class_id(self, wanted: str | int | None) -> int | None:
        if wanted is None:
            return None
        names = self._adapter.class_names
        found = names.index(wanted) if isinstance(wanted, str) and wanted in names else _as_id(wanted)
        if found is None or found >= len(names):
            known = ", ".join(names) if len(names) <= LISTED else f"{len(names)} others, see GET /v1/models/NAME"
            message = f"{self._entry.name} has no class {str(wanted)[:80]!r}; it has {known}"
            raise CannotExplain(message, "class", names[:100])
        if found == 0 and KINDS[self._entry.kind].has_background:
            raise CannotExplain(f"{names[0]} is what none of the classes covers, and has no score of its own", "class")
        return found

    def _box_in_input(self, question: Question, image_size: tuple[int, int]) -> Tensor | None:
        if question.target is None:
            return None
        preprocessing = self._entry.preprocessing
        assert isinstance(preprocessing, LetterboxPreprocessing)
        return Letterbox.fit(image_size, preprocessing).project(torch.tensor([question.target.box]))[0]

    def _require_untiled(self, given: ModelInput) -> None:
        tile = getattr(self._entry.preprocessing, "tile", None)
        if tile is not None and max(given.pixels.shape[:2]) > tile:
            raise CannotExplain(
                f"{self._entry.name} runs large images in tiles, and explains one tile: send a part of the image of at "
                f"most {tile} pixels a side",
                "image",
            )

    def _usual_size(self) -> tuple[int, int]:
        preprocessing = self._entry.preprocessing
        height, width = preprocessing.largest_size
        tile = getattr(preprocessing, "tile", None) or 640
        return min(height, tile, 640), min(width, tile, 640)


def _as_id(wanted: str | int) -> int | None:
    if isinstance(wanted, int):
        return wanted if wanted >= 0 else None
    return int(wanted) if wanted.isascii() and wanted.isdecimal() and len(wanted) < 10 else None

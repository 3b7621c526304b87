"""The adapter of multi-task networks."""

import copy
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from models.adapter import Adapter, ModelInput, RawOutput
from models.detection.detector import Detector
from models.entries import CatalogEntry, Kind
from models.execution.staging import stack
from models.imaging.decoding import DecodedImage
from models.kinds import KINDS
from models.letterbox_adapter import LetterboxedAdapter
from models.multitask.classifier import CountClassifier
from models.multitask.outputs import MultitaskNetwork, SemanticExecutor
from models.parameters import MultitaskParameters
from models.predictions import Multitask
from models.runtime import Runtime
from models.segmentation.instances import InstanceSegmenter
from models.segmentation.semantic import SemanticSegmenter


@dataclass(frozen=True, eq=False)
class MultitaskInput(ModelInput):
    """An image, and the parts that its request wants.

    Attributes:
        wanted: Their kinds.
    """

    wanted: frozenset[Kind]

    @property
    def batch_key(self) -> Hashable:
        """Inputs of equal keys may share a batch: those of one shape, whose requests want the same parts."""
        return self.pixels.shape, self.wanted


class MultitaskModel(LetterboxedAdapter[MultitaskNetwork, MultitaskParameters, Multitask]):
    """A multi-task network as an `models.adapter.Adapter`: the trunk runs once, and only the heads that are wanted.

    Args:
        entry: Its catalog entry; says its parts.
        runtime: Where and how it runs, resolved.
        network: The network on its device.
        weights_digest: sha256 in hex of the file that its weights came from.
    """

    usual_parameters = MultitaskParameters()

    def __init__(self, entry: CatalogEntry, runtime: Runtime, network: MultitaskNetwork, weights_digest: str) -> None:
        assert entry.class_names is not None
        super().__init__(entry, entry.class_names, runtime, network, weights_digest)
        self._parts: Mapping[Kind, Any] = {kind: self._made(kind) for kind in entry.parts}
        self._wanted = frozenset(self._parts)

    def part(self, kind: Kind) -> Adapter[Any, Any]:
        """Returns an ordinary adapter for one kind of predictions, which shares the network.

        Args:
            kind: One of `entry.parts`.

        Raises:
            ValueError: The model has no such part.
        """
        if kind not in self._parts:
            raise ValueError(f"{self.entry.name} has no part {kind!r}; it has {', '.join(self._parts)}")
        return self._parts[kind]

    def narrowed(self, parameters: MultitaskParameters) -> Self:
        """Returns the same model for requests that want certain parts; the two share the network.

        Args:
            parameters: Of the request; all parts are wanted where it names none.

        Raises:
            ValueError: The model has no such part.
        """
        for kind in parameters.wanted:
            self.part(kind)
        other = copy.copy(self)
        other._wanted = frozenset(parameters.wanted or self._parts)
        return other

    def preprocess(self, image: DecodedImage) -> MultitaskInput:
        """See `models.adapter.Adapter.preprocess`."""
        item = super().preprocess(image)
        return MultitaskInput(item.pixels, item.image_size, self._wanted)

    def forward(self, inputs: Sequence[ModelInput]) -> list[Mapping[Kind, Any]]:
        """See `models.adapter.Adapter.forward`.

        Returns:
            For every image what `forward` of each wanted part returns.
        """
        first = inputs[0]
        wanted = first.wanted if isinstance(first, MultitaskInput) else self._wanted
        return self.network.run(stack([item.pixels for item in inputs], self.runtime), wanted)

    def postprocess(
        self, raw: RawOutput, inputs: Sequence[ModelInput], parameters: Sequence[MultitaskParameters]
    ) -> list[Multitask]:
        """See `models.adapter.Adapter.postprocess`.

        Raises:
            ValueError: A request wants a part that the model does not have.
        """
        return [self._answered(*image) for image in zip(raw, inputs, parameters, strict=True)]

    def predict(self, images: Sequence[bytes], parameters: MultitaskParameters | None = None) -> list[Multitask]:
        """See `models.adapter.Adapter.predict`."""
        wanted = parameters or self._parameters
        return super(MultitaskModel, self.narrowed(wanted)).predict(images, wanted)

    def _answered(self, raw: Mapping[Kind, Any], item: ModelInput, parameters: MultitaskParameters) -> Multitask:
        wanted = parameters.wanted or {kind: self._defaults(kind) for kind in self._parts}
        found = {
            kind: self.part(kind).postprocess([raw[kind]], [item], [wanted[kind]])[0]
            for kind in KINDS
            if kind in wanted
        }
        return Multitask(found, item.image_size, {kind: self.entry.parts[kind].class_names for kind in found})

    def _defaults(self, kind: Kind) -> Any:
        return KINDS[kind].parameters(**self.entry.parts[kind].defaults)

    def _made(self, kind: Kind) -> Adapter[Any, Any]:
        entry = part_entry(self.entry, kind)
        shared = entry, self.entry.parts[kind].class_names, self.runtime
        if kind == "detection":
            return Detector(*shared, self.network.regions.boxes, self.weights_digest)
        if kind == "instance":
            return InstanceSegmenter(*shared, self.network.regions, self.weights_digest)
        if kind == "semantic":
            return SemanticSegmenter(*shared, SemanticExecutor(self.network), self.weights_digest)
        return CountClassifier(*shared, self.network, self.weights_digest)


def part_entry(entry: CatalogEntry, kind: Kind) -> CatalogEntry:
    """The catalog entry of a part, as if it was a model of its own; the name is that of the whole."""
    part, record = entry.parts[kind], KINDS[kind]
    return replace(
        entry,
        task=record.task,
        segmentation=kind if record.task == "segmentation" else None,
        class_count=len(part.class_names),
        class_names=part.class_names,
        category_ids=part.category_ids,
        defaults={**record.defaults, **part.defaults},
        parts={},
    )

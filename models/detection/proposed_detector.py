"""The adapter of a two-stage detector for requests that give their own proposals."""

from collections.abc import Sequence
from typing import Any, cast

import torch

from models.adapter import Adapter, ModelInput, RawOutput
from models.detection.candidates import Candidates
from models.detection.detector import Detector
from models.detection.proposal_check import check_proposals
from models.detection.proposals import ProposedInput
from models.detection.torchvision_detectors import TorchvisionCandidates
from models.errors import InvalidProposals
from models.execution.staging import stack
from models.imaging import decoding
from models.imaging.decoding import DecodedImage
from models.parameters import DetectionParameters, Family
from models.predictions import Detections


class ProposedDetector(Adapter[DetectionParameters, Detections]):
    """A detector that classifies the proposals of a request, in its R-CNN or Fast R-CNN mode; it shares the network.

    Args:
        detector: A two-stage detector.
        parameters: Of the request whose images `preprocess` gets. `forward` and `postprocess` do not depend on them.

    Raises:
        InvalidProposals: The detector has one stage, so that it takes no proposals; or its network takes one input
            size, so that it takes no crops.
    """

    def __init__(self, detector: Adapter[Any, Any], parameters: DetectionParameters) -> None:
        network = detector.network if isinstance(detector, Detector) else None
        if not isinstance(network, TorchvisionCandidates) or not network.takes_proposals:
            raise InvalidProposals(f"{detector.entry.name} has one stage; proposals need a two-stage detector")
        takes_one_size = detector.runtime.compile or cast(Detector, detector).entry.preprocessing.fixed_size is not None
        if parameters.family == "rcnn" and takes_one_size:
            raise InvalidProposals(f"{detector.entry.name} takes one input size: ask for family=fast-rcnn")
        assert parameters.proposals is not None
        self._detector = cast(Detector, detector)
        self._network = network
        self._parameters = parameters
        self._boxes = parameters.proposals
        self._family: Family = parameters.family or "fast-rcnn"
        self.entry = detector.entry
        self.class_names = detector.class_names
        self.runtime = detector.runtime
        self.weights_digest = detector.weights_digest

    def decode(
        self, data: bytes, *, max_bytes: int = decoding.MAX_BYTES, max_pixels: int = decoding.MAX_PIXELS
    ) -> DecodedImage:
        """See `models.adapter.Adapter.decode`."""
        return self._detector.decode(data, max_bytes=max_bytes, max_pixels=max_pixels)

    def preprocess(self, image: DecodedImage) -> ProposedInput:
        """See `models.adapter.Adapter.preprocess`.

        Raises:
            InvalidProposals: A box is not within the image.
        """
        check_proposals(self._boxes, image.size)
        plain = self._detector.preprocess(image)
        boxes = self._detector.project(torch.tensor(self._boxes, dtype=torch.float32), image.size)
        return ProposedInput(plain.pixels, plain.image_size, boxes, self._family)

    def forward(self, inputs: Sequence[ModelInput]) -> list[Candidates]:
        """See `models.adapter.Adapter.forward`."""
        items = [item for item in inputs if isinstance(item, ProposedInput)]
        pixels = stack([item.pixels for item in items], self.runtime)
        return self._network.proposed(pixels, [item.proposals for item in items], items[0].family)

    def postprocess(
        self, raw: RawOutput, inputs: Sequence[ModelInput], parameters: Sequence[DetectionParameters]
    ) -> list[Detections]:
        """See `models.adapter.Adapter.postprocess`."""
        return self._detector.postprocess(raw, inputs, parameters)

    def predict(self, images: Sequence[bytes], parameters: DetectionParameters | None = None) -> list[Detections]:
        """See `models.adapter.Adapter.predict`: the same proposals are classified in each image."""
        inputs = [self.preprocess(self.decode(data)) for data in images]
        wanted = parameters or self._parameters
        return [self.postprocess(self.forward([item]), [item], [wanted])[0] for item in inputs]

    def warm_up(self, max_batch_size: int) -> None:
        """The detector is warm."""

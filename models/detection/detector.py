"""The adapter of all detection networks."""

from collections.abc import Sequence

from torch import Tensor

from models.adapter import ModelInput, RawOutput
from models.detection.candidates import CandidateNetwork, Candidates
from models.detection.selection import are_boxes, select
from models.execution.staging import stack
from models.imaging.letterbox import Letterbox
from models.letterbox_adapter import LetterboxedAdapter
from models.parameters import DetectionParameters, ObjectParameters
from models.predictions import Detections


class Detector(LetterboxedAdapter[CandidateNetwork, DetectionParameters, Detections]):
    """A detection network as an `models.adapter.Adapter`."""

    usual_parameters = DetectionParameters()

    def project(self, boxes: Tensor, image_size: tuple[int, int]) -> Tensor:
        """Maps (N, 4) boxes from pixels of an image of a (height, width) to those of the network's input."""
        return self._letterbox(image_size).project(boxes)

    def forward(self, inputs: Sequence[ModelInput]) -> list[Candidates]:
        """See `models.adapter.Adapter.forward`."""
        return self.network.candidates(stack([item.pixels for item in inputs], self.runtime))

    def postprocess(
        self, raw: RawOutput, inputs: Sequence[ModelInput], parameters: Sequence[DetectionParameters]
    ) -> list[Detections]:
        """See `models.adapter.Adapter.postprocess`."""
        return [
            detections_from(candidates, self._letterbox(item.image_size), wanted)
            for candidates, item, wanted in zip(raw, inputs, parameters, strict=True)
        ]


def detections_from(candidates: Candidates, letterbox: Letterbox, parameters: ObjectParameters) -> Detections:
    """Scales candidates to the original image, clips them, filters by score and class, and runs NMS.

    Boxes are clipped to the image before NMS, so that the returned boxes keep to the IoU threshold, and boxes in the
    padding are dropped.

    Args:
        candidates: Output of the network.
        letterbox: Placement of the image in the network's input.
        parameters: Of the request.

    Returns:
        The prediction.
    """
    likely = candidates[(candidates.scores >= parameters.score_threshold) & are_boxes(candidates.boxes)]
    kept = select(Candidates(letterbox.restore(likely.boxes), likely.scores, likely.class_ids), parameters)
    return Detections(kept.boxes.numpy(), kept.scores.numpy(), kept.class_ids.numpy(), letterbox.image_size)

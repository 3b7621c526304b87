"""Augmentation of pose estimators: weighted boxes fusion, and heat maps averaged over the views."""

# pyright: reportUnknownMemberType=false

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from models.adapter import ModelInput, RawOutput
from models.augmentation.augmented import AugmentedInput, View
from models.augmentation.detection import fused_objects, unmirrored
from models.augmentation.letterboxed import LetterboxedViews
from models.detection.candidates import Candidates
from models.parameters import PoseParameters
from models.pose.estimator import poses_of
from models.pose.heat_maps import HeatMaps
from models.pose.keypoint_regions import RegionPoints
from models.predictions import Poses

_LEAST: Final = 1e-12
"""Probabilities below are taken for this, since they become logits again."""


class AugmentedPoseEstimator(LetterboxedViews[PoseParameters, Poses]):
    """Fuses the boxes of all views, and averages the heat maps that the views have within each fused box.

    All views look at the same box, so that their heat maps lie on each other, cell by cell; in a mirrored view left and
    right of the skeleton change places.
    """

    def forward(self, inputs: Sequence[ModelInput]) -> list[list[RegionPoints]]:
        """See `models.adapter.Adapter.forward`: for each image the candidates of each view."""
        return self._run_all(inputs)

    def postprocess(
        self, raw: RawOutput, inputs: Sequence[ModelInput], parameters: Sequence[PoseParameters]
    ) -> list[Poses]:
        """See `models.adapter.Adapter.postprocess`."""
        return [self._merged(*one) for one in zip(raw, inputs, parameters, strict=True)]

    def _merged(self, outputs: Sequence[RegionPoints], item: ModelInput, parameters: PoseParameters) -> Poses:
        assert isinstance(item, AugmentedInput)

        def objects_of(view: ModelInput, kind: View, output: Any, wanted: PoseParameters) -> Candidates:
            return self._scaled[kind.scale].objects_of(output, view, wanted)

        kept = fused_objects(objects_of, outputs, item, parameters)
        first: Any = self._scaled[item.kinds[0].scale]
        maps = [
            self._maps(kind, view, output, kept.boxes.numpy())
            for kind, view, output in zip(item.kinds, item.views, outputs, strict=True)
        ]
        mean = torch.stack([seen.logits.flatten(2).softmax(2) for seen in maps]).mean(0).clamp(min=_LEAST)
        merged = maps[0]._replace(logits=mean.log().view_as(maps[0].logits))
        return poses_of(kept, merged, first.letterbox_of(item.views[0]), first.skeleton)

    def _maps(self, kind: View, view: ModelInput, output: RegionPoints, boxes: NDArray[np.float32]) -> HeatMaps:
        """The heat maps of a view in the fused boxes, as those of the image itself."""
        adapter: Any = self._scaled[kind.scale]
        own = unmirrored(boxes, kind, view.image_size[1])
        maps = output.maps_of(adapter.letterbox_of(view).project(torch.from_numpy(own)))
        if not kind.mirrored:
            return maps
        return maps._replace(logits=maps.logits.flip(3)[:, list(adapter.skeleton.mirrored)])

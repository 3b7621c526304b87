"""The deployment that tells which pixels of images belong to what."""

from __future__ import annotations

from ray import serve

from models.adapter import SegmentationParameters
from services.deployments.host import ModelHost


@serve.deployment()
class Segmenter(ModelHost):
    """Answers with the mask of each class in an image, or of each object."""

    parameters_type = SegmentationParameters

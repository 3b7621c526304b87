"""The deployment that finds objects in images."""

from __future__ import annotations

from ray import serve

from models.adapter import DetectionParameters
from services.deployments.host import ModelHost


@serve.deployment()
class Detector(ModelHost):
    """Answers with the boxes, classes and scores of the objects in an image."""

    parameters_type = DetectionParameters

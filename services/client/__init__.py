"""The Python client of a Tapetum server: typed responses, errors and retries; it needs httpx only.

from services.client import Client

with Client("http://localhost:8000") as client:
    for prediction in client.classify(Path("photo.jpg")).predictions:
        print(prediction.class_name, prediction.probability)
"""

from services.client.answers import (
    Classification,
    Detections,
    Feedback,
    ModelAccuracy,
    Poses,
    Readiness,
    Segmentation,
    ServedModel,
)
from services.client.clients import AsyncClient, Client
from services.client.errors import TapetumError
from services.client.explanations import Explanation, ExplanationParameters, FeatureSheet, HeatMap
from services.client.masks import Mask, MaskImage, Polygons, RunLengths
from services.client.parameters import (
    ClassificationParameters,
    DetectionParameters,
    PoseParameters,
    SegmentationParameters,
)
from services.client.predictions import Box, ClassPrediction, Detection, Instance, KeyPoint, Pose, Region

__all__ = [
    "AsyncClient",
    "Box",
    "ClassPrediction",
    "Classification",
    "ClassificationParameters",
    "Client",
    "Detection",
    "DetectionParameters",
    "Detections",
    "Explanation",
    "ExplanationParameters",
    "FeatureSheet",
    "Feedback",
    "HeatMap",
    "Instance",
    "KeyPoint",
    "Mask",
    "MaskImage",
    "ModelAccuracy",
    "Polygons",
    "Pose",
    "PoseParameters",
    "Poses",
    "Readiness",
    "Region",
    "RunLengths",
    "Segmentation",
    "SegmentationParameters",
    "ServedModel",
    "TapetumError",
]

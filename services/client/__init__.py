"""The Python client of a Tapetum server: typed responses, errors and retries; it needs httpx only.

from services.client import Client

with Client("http://localhost:8000") as client:
    for prediction in client.classify(Path("photo.jpg")).predictions:
        print(prediction.class_name, prediction.probability)
"""

from services.client.answers import (
    Analysis,
    Classification,
    Detections,
    Feedback,
    ModelAccuracy,
    Pictures,
    Poses,
    Readiness,
    Segmentation,
    ServedModel,
)
from services.client.async_client import AsyncClient
from services.client.errors import TapetumError
from services.client.explanations import Explanation, ExplanationParameters, FeatureSheet, HeatMap
from services.client.made_picture import MadePicture
from services.client.masks import Mask, MaskImage, Polygons, RunLengths
from services.client.network_layers import Filters, Layer, NetworkLayers
from services.client.parameters import (
    ClassificationParameters,
    DetectionParameters,
    GenerationParameters,
    PoseParameters,
    SegmentationParameters,
)
from services.client.predictions import Box, ClassPrediction, Detection, Instance, KeyPoint, Pose, Region
from services.client.sync_client import Client

__all__ = [
    "Analysis",
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
    "Filters",
    "GenerationParameters",
    "HeatMap",
    "Instance",
    "KeyPoint",
    "Layer",
    "MadePicture",
    "Mask",
    "MaskImage",
    "ModelAccuracy",
    "NetworkLayers",
    "Pictures",
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

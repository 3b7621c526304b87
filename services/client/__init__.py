"""A Python client of a running Tapetum: typed answers, errors and retries; it needs httpx and nothing else of ours.

from services.client import Client

with Client("http://localhost:8000") as client:
    for prediction in client.classify(Path("photo.jpg")).predictions:
        print(prediction.class_name, prediction.probability)
"""

from services.client.answers import (
    Box,
    Classification,
    ClassPrediction,
    Detection,
    Detections,
    Readiness,
    ServedModel,
    TapetumError,
)
from services.client.clients import AsyncClient, Client, DetectionParameters

__all__ = [
    "AsyncClient",
    "Box",
    "ClassPrediction",
    "Classification",
    "Client",
    "Detection",
    "DetectionParameters",
    "Detections",
    "Readiness",
    "ServedModel",
    "TapetumError",
]

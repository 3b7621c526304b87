"""The deployment that classifies images."""

from __future__ import annotations

from ray import serve

from models.adapter import ClassificationParameters
from services.deployments.host import ModelHost


@serve.deployment()
class Classifier(ModelHost):
    """Answers with the most probable classes of an image."""

    parameters_type = ClassificationParameters

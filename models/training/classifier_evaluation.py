"""Evaluates classifiers during training, through the adapter that serves them."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from torch import nn

from models.adapter import ModelInput
from models.classification.architectures import build_classifier
from models.classification.classifier import Classifier
from models.datasets.folders import LabelledImage
from models.datasets.packed_images import ImageFile
from models.datasets.photo_dataset import DatasetError
from models.datasets.prefetch import made_ahead
from models.entries import CatalogEntry
from models.errors import ImageError
from models.execution.executor import executor_for
from models.metrics.classification import top_k_accuracy
from models.parameters import ClassificationParameters
from models.runtime import Runtime
from models.sources.card_weights import as_stored
from models.training.classifier import loader_threads

TOP: Final = 5
_BATCH: Final = 32
_LEAST_PROBABILITY: Final = 1e-12


def as_served(network: nn.Module, card: CatalogEntry, runtime: Runtime) -> Classifier:
    """Makes of a network what serves its card: built anew, with weights as they are stored.

    Args:
        network: With the weights.
        card: Its entry.
        runtime: Where and how it is to run.
    """
    assert card.class_names is not None
    served = build_classifier(card.architecture, card.class_count, card.arguments)
    served.load_state_dict(as_stored(network.state_dict()))
    runtime = runtime.resolve()
    executor = executor_for(served.eval(), card.image_preprocessing, runtime)
    return Classifier(card, card.class_names, runtime, executor, weights_digest="")


def accuracy(classifier: Classifier, labelled: Sequence[LabelledImage]) -> dict[str, float]:
    """Measures a classifier.

    Args:
        classifier: What is served.
        labelled: Images whose class is known, at least one.

    Returns:
        `top1` and, where there are more than five classes, `top5`: shares of the images, 0 to 1; `val_loss`: mean
        cross-entropy in nats.

    Raises:
        DatasetError: A file is not an image that can be read.
    """
    parameters = ClassificationParameters(TOP)
    ranks: list[int] = []
    losses: list[float] = []
    chunks = [labelled[start : start + _BATCH] for start in range(0, len(labelled), _BATCH)]
    prepared = made_ahead(lambda chunk: [_prepared(classifier, item.path) for item in chunk], chunks, loader_threads())
    for chunk, inputs in zip(chunks, prepared, strict=True):
        raw = classifier.forward(inputs)
        predictions = classifier.postprocess(raw, inputs, [parameters] * len(inputs))
        for item, probabilities, prediction in zip(chunk, raw, predictions, strict=True):
            found: list[int] = np.flatnonzero(prediction.class_ids == item.class_id).tolist()
            ranks.append(found[0] if found else TOP)
            losses.append(-math.log(max(float(probabilities[item.class_id]), _LEAST_PROBABILITY)))
    figures = {"top1": top_k_accuracy(np.array(ranks), 1)}
    if len(classifier.class_names) > TOP:
        figures["top5"] = top_k_accuracy(np.array(ranks), TOP)
    return {**figures, "val_loss": float(np.mean(losses))}


def _prepared(classifier: Classifier, path: ImageFile) -> ModelInput:
    try:
        return classifier.preprocess(classifier.decode(path.read_bytes()))
    except (OSError, ImageError) as error:
        raise DatasetError(f"{path}: {error}") from None

"""One record for every kind of predictions: its metric, its request parameters, and its words in reports.

Metrics are imported when one is made: importing this package loads no metric library.
"""

from typing import Final

from models.entries import Kind
from services.evaluation.kinds.classification import CLASSIFICATION
from services.evaluation.kinds.detection import DETECTION
from services.evaluation.kinds.instance import INSTANCE
from services.evaluation.kinds.keypoints import KEYPOINTS
from services.evaluation.kinds.kind_evaluation import KindEvaluation
from services.evaluation.kinds.semantic import SEMANTIC

KINDS: Final[dict[Kind, KindEvaluation]] = {
    "classification": CLASSIFICATION,
    "detection": DETECTION,
    "keypoints": KEYPOINTS,
    "instance": INSTANCE,
    "semantic": SEMANTIC,
}
"""The record of every kind."""

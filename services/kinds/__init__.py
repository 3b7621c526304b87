"""What the service knows about each kind of predictions; a further kind is added to these dictionaries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from models.entries import Task
from models.predictions import Classification, Detections, InstanceMasks, Poses, SemanticMask
from services.kinds.classification import CLASSIFY, write_classes
from services.kinds.detection import DETECT, write_objects
from services.kinds.keypoints import POSE, write_poses
from services.kinds.segmentation import SEGMENT, write_instances, write_regions
from services.kinds.task_api import TaskApi

TASKS: Final[dict[Task, TaskApi]] = {api.task: api for api in (CLASSIFY, DETECT, POSE, SEGMENT)}
"""The endpoint of every task."""

WRITERS: Final[dict[type[Any], Callable[..., dict[str, Any]]]] = {
    Classification: write_classes,
    Detections: write_objects,
    InstanceMasks: write_instances,
    Poses: write_poses,
    SemanticMask: write_regions,
}
"""By type of prediction, from a prediction, the class names and the parameters to the members of its answer."""

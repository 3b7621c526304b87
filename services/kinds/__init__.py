"""What the service knows about each kind of predictions; a further kind is added to these dictionaries.

Experimental kinds and multi-task networks are named by the place of their record, and imported when `TASKS` or
`WRITERS` is asked for it: a gateway asks for the tasks of its configuration, a replica for the predictions of its
models. See `docs/extending.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from models.entries import Task
from models.lazy_records import LazyRecords
from models.predictions import Classification, Detections, InstanceMasks, Multitask, Picture, Poses, SemanticMask
from services.kinds.classification import CLASSIFY, write_classes
from services.kinds.detection import DETECT, write_objects
from services.kinds.keypoints import POSE, write_poses
from services.kinds.segmentation import SEGMENT, write_instances, write_regions
from services.kinds.task_api import TaskApi

TASKS: Final[LazyRecords[Task, TaskApi]] = LazyRecords(
    {api.task: api for api in (CLASSIFY, DETECT, POSE, SEGMENT)},
    {
        "stylization": "services.kinds.stylization:STYLIZE",
        "generation": "services.kinds.generation:GENERATE",
        "multitask": "services.kinds.multitask:MULTITASK",
    },
)
"""The endpoint of every task; that of multi-task networks is looked up only where one is served, too."""

EXPERIMENTAL_PATHS: Final[Mapping[str, Task]] = {"/v1/stylize": "stylization", "/v1/generate": "generation"}
"""The experimental tasks by their paths, which answer with an error where no model of them is configured."""

WRITERS: Final[LazyRecords[type[Any], Callable[..., dict[str, Any]]]] = LazyRecords(
    {
        Classification: write_classes,
        Detections: write_objects,
        InstanceMasks: write_instances,
        Poses: write_poses,
        SemanticMask: write_regions,
    },
    {Picture: "services.kinds.made_pictures:write_picture", Multitask: "services.kinds.multitask:write_parts"},
)
"""By type of prediction, from a prediction, the class names and the parameters to the members of its answer."""

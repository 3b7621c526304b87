"""The Ray Serve deployment that explains predictions, in a process of its own that has the lowest priority.

It has no replica until the first request. The replica loads the plain float32 network of a model when it is first asked
about it, keeps those that were asked last, and explains one image at a time. Importing this module does not load torch.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog
from ray import serve

from models.errors import CannotExplain, ExplainingUnavailable, ImageError, ModelsError, NonFiniteOutput
from models.explaining.explanation import Question, Target
from services import errors
from services.answers.explanation import (
    ExplanationItem,
    ExplanationOutcome,
    describe_explanation,
    describe_layers,
    draw_explanation,
)
from services.answers.wire import Failure
from services.deployments.pace import Pace
from services.errors import InvalidImage, InvalidParameters, LoadFailed, NonFiniteAnswer, OutOfTime, ServiceError
from services.log_lines import configure_logging
from services.machine.loopback import fence_replica_grpc
from services.machine.memory import release_memory
from services.settings import read_settings

if TYPE_CHECKING:
    from models.explaining.explaining import Explainer

log = structlog.get_logger()

KEPT_MODELS: Final = 3
"""Models that stay loaded, those that were asked last."""
THREADS: Final = 1
"""Threads of a computation: a second one would take a core of which predictions beside it need a part at once."""
NICENESS: Final = 19
"""The lowest priority on Linux, beside the policy `SCHED_IDLE`."""
CALLS: Final = 2
"""Requests that a replica has at a time: one is computed, and the next one waits."""


@serve.deployment(max_ongoing_requests=CALLS)
class ExplainerReplica:
    """Explains predictions of the models of the catalog."""

    def __init__(self) -> None:
        fence_replica_grpc()
        _give_way()
        settings = read_settings()
        configure_logging(settings)
        _import_packages()
        self._limits = {"max_bytes": settings.max_image_bytes, "max_pixels": settings.max_image_pixels}
        self._models = ExplainedModels()
        self._pace = Pace()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="explain", initializer=_start_thread)

    async def explain(self, item: ExplanationItem) -> ExplanationOutcome:
        """Explain one prediction, or list the layers of a network; a failure is an outcome, too."""
        ended = threading.Event()

        def check() -> None:
            if ended.is_set() or time.time() > item.deadline_s:
                raise OutOfTime("the time limit passed in the explainer")

        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, self._explain, item, check)
        except asyncio.CancelledError:
            ended.set()
            raise

    def _explain(self, item: ExplanationItem, check: Callable[[], None]) -> ExplanationOutcome:
        try:
            with self._pace.work():
                return explain(self._models, item, check, self._limits)
        except Exception as error:
            failure = failure_of(error, item.model)
            return ExplanationOutcome(
                {}, None, Failure(failure.status, failure.code, failure.message, failure.details), {}
            )


class ExplainedModels:
    """The models that were asked last.

    Args:
        make: Makes the explainer of a model by its name.
        kept: The most of them.
    """

    def __init__(self, make: Callable[[str], Explainer] | None = None, kept: int = KEPT_MODELS) -> None:
        self._make = make or _make_explainer
        self._kept = kept
        self._models: OrderedDict[str, Explainer] = OrderedDict()

    def get(self, name: str) -> Explainer:
        """The explainer of a model; the one that was asked least recently is dropped where there are too many."""
        if name in self._models:
            self._models.move_to_end(name)
            return self._models[name]
        made = self._models[name] = self._make(name)
        if len(self._models) > self._kept:
            self._models.popitem(last=False)
            release_memory()
        return made


def explain(
    models: ExplainedModels, item: ExplanationItem, check: Callable[[], None], limits: dict[str, int]
) -> ExplanationOutcome:
    """Explain one prediction, or list the layers of a network, in the calling thread.

    Args:
        models: The models.
        item: What is asked.
        check: Raises where the time limit has passed.
        limits: `max_bytes` and `max_pixels` of images.

    Raises:
        ModelsError, ServiceError: There is no explanation.
    """
    check()
    started_at = time.perf_counter()
    explainer = models.get(item.model)
    if item.method == "layers":
        described = describe_layers(explainer.entry, explainer.network_layers)
        return ExplanationOutcome(described, None, None, {"explain": (time.perf_counter() - started_at) * 1e3})
    target = Target(item.box[:4], item.box[4]) if item.box is not None else None
    question = Question(item.method, item.wanted_class, target, item.layer, item.call)
    explanation = explainer.explain(item.image, question, check, **limits)
    check()
    explained_at = time.perf_counter()
    stages_ms = {"explain": (explained_at - started_at) * 1e3}
    if item.view == "json":
        return ExplanationOutcome(describe_explanation(explanation), None, None, stages_ms)
    picture = draw_explanation(explanation, item.image, item.view, item.picture_format, **limits)
    stages_ms["render"] = (time.perf_counter() - explained_at) * 1e3
    return ExplanationOutcome({}, picture, None, stages_ms)


def failure_of(error: Exception, model: str) -> ServiceError:
    """Translates an exception to an error for the client; unexpected ones are logged and hidden."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, ImageError):
        return InvalidImage.of(error)
    if isinstance(error, CannotExplain):
        details: dict[str, Any] = {"parameter": error.parameter}
        if error.known:
            details["known"] = list(error.known)
        return InvalidParameters(error.message, details)
    if isinstance(error, ExplainingUnavailable):
        return errors.ExplainingUnavailable(str(error))
    if isinstance(error, NonFiniteOutput):
        return NonFiniteAnswer(str(error))
    log.error("explanation failed", model=model, exc_info=error)
    if isinstance(error, ModelsError):
        return LoadFailed(f"{model} cannot be loaded for explanations: {error.code}; the server's log says why")
    return ServiceError("the explanation of this image failed")


def _make_explainer(name: str) -> Explainer:
    from models.explaining.explaining import Explainer

    return Explainer(name, THREADS)


def _import_packages() -> None:
    """Import torch and captum in the thread that starts the replica.

    A thread with the policy `SCHED_IDLE` could hold the interpreter's lock for long on a busy machine, and Ray's health
    check of the replica would fail.
    """
    from services.deployments.torchvision_import import import_torchvision

    import_torchvision()
    import models.explaining.explaining  # noqa: F401

    with suppress(ImportError):  # the extra `explain` may be missing
        import_module("captum.attr")


def _give_way() -> None:
    """Lower the priority of all threads that this process has, and so of those that they start."""
    tasks = Path("/proc/self/task")
    for thread in tasks.iterdir() if tasks.is_dir() else ():  # Linux
        with suppress(OSError):  # it has ended meanwhile
            os.setpriority(os.PRIO_PROCESS, int(thread.name), NICENESS)


def _start_thread() -> None:
    """Give way to all other threads: the scheduler takes a core that runs this one for an idle core."""
    from services.deployments.hosted_model import start_thread

    start_thread(THREADS, NICENESS)
    if hasattr(os, "SCHED_IDLE"):  # Linux; of this thread and of those that it starts
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))

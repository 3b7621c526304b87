"""The parts of an analysis: one request for each task, with its model, parameters, and answers or error."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from services.errors import InvalidParameters, ModelNotFound, OutOfTime, ServiceError
from services.gateway.analysis.parameters import PARTS, AnalyzedSegmentation, AnalyzeParameters
from services.gateway.analysis.whole import kinds_of, split_answer, whole_request
from services.gateway.responses import Responder
from services.gateway.serving.decodes import Decodes
from services.gateway.serving.offload import TimeLimit
from services.gateway.serving.open_request import OpenRequest
from services.gateway.serving.predictor import Answer, CachePolicy
from services.gateway.serving.request_path import Caller, PredictionInput, RequestPath
from services.gateway.serving.served_model import ServedModel
from services.kinds.request_parameters import TaskParameters
from services.settings import Settings

log = structlog.get_logger()

WHOLE: Final = "multitask"
"""Task of networks that answer several tasks."""
WRITING_SHARE: Final = 0.1
"""Share of the time that is left which the parts do not get, so that those that are done in time are answered; at most
`WRITING_S`."""
WRITING_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Part:
    """One task of an analysis, before it is predicted.

    Attributes:
        name: Of the task, one of `PARTS`; of a network that answers all of them `model`.
        found: What is recorded of it: task, model, version, number of images.
        ready: The version that answers, and its input; None where there is a problem.
        problem: Why it cannot be answered.
        kinds: Of a network that answers several tasks, the kind of its part for each; None of a single model.
    """

    name: str
    found: OpenRequest
    ready: tuple[ServedModel, PredictionInput] | None
    problem: ServiceError | None = None
    kinds: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class PartAnswers:
    """One task of an analysis, after it was predicted.

    Attributes:
        name: Of the task, one of `PARTS`.
        answers: One for each image.
    """

    name: str
    answers: tuple[Answer | ServiceError, ...]


@dataclass(frozen=True, slots=True)
class Analyst:
    """Predicts the parts of analyses on the request path of all predictions.

    Attributes:
        path: The request path.
        settings: Caps on images.
        responder: Reads and writes large answers in threads.
    """

    path: RequestPath
    settings: Settings
    responder: Responder

    async def parts(self, opened: OpenRequest, given: PredictionInput, drawn: bool) -> list[Part]:
        """Find the models of all tasks, one after another, since some may have to be loaded.

        Args:
            opened: The analysis; its time limit is extended while models are loaded.
            given: Images and parameters.
            drawn: Whether the answers are drawn.
        """
        asked = given.parameters
        assert isinstance(asked, AnalyzeParameters)
        network = self._only_network() if asked.model is None else asked.model
        if network is not None:
            asked = asked.model_copy(update={"model": network})
            return [await self._whole(opened, replace(given, parameters=asked), asked, drawn)]
        return [await self._part(opened, given, asked, name, drawn) for name in self._tasks(asked)]

    def _only_network(self) -> str | None:
        """The first multi-task network, where no model of a single task is configured."""
        registry = self.path.registry
        if WHOLE not in registry.tasks or registry.tasks.intersection(api.task for api in PARTS.values()):
            return None
        return registry.model_of(WHOLE, None)

    async def _whole(self, opened: OpenRequest, given: PredictionInput, asked: AnalyzeParameters, drawn: bool) -> Part:
        """The one part of an analysis by a multi-task network.

        Raises:
            ServiceError: there is no such network, or it cannot answer the tasks.
        """
        own = OpenRequest(
            opened.request_id, limit=opened.limit, deadline_s=opened.deadline_s, task=WHOLE, timeout=opened.timeout
        )
        try:
            served, given = await self.path.check(own, WHOLE, given)
        finally:
            opened.limit, opened.deadline_s = own.limit, own.deadline_s
        kinds = kinds_of(served, asked)
        return Part("model", own, (served, replace(given, parameters=whole_request(asked, kinds, drawn))), None, kinds)

    def _tasks(self, asked: AnalyzeParameters) -> tuple[str, ...]:
        """The tasks of the request; by default those with a model that is loaded, and those with parameters."""
        if asked.tasks is not None:
            return asked.tasks
        registry, found = self.path.registry, list[str]()
        for name, api in PARTS.items():
            try:
                is_loaded = not registry.is_cold(registry.model_of(api.task, None))
            except ModelNotFound:
                is_loaded = False
            if is_loaded or asked.of_task(name).model_fields_set:
                found.append(name)
        if not found:
            raise ModelNotFound("no model is loaded that takes images; say which tasks", {"known": list(PARTS)})
        return tuple(found)

    async def _part(
        self, opened: OpenRequest, given: PredictionInput, asked: AnalyzeParameters, name: str, drawn: bool
    ) -> Part:
        own = OpenRequest(
            opened.request_id,
            limit=opened.limit,
            deadline_s=opened.deadline_s,
            task=PARTS[name].task,
            timeout=opened.timeout,
        )
        try:
            parameters = self._with_model(asked.of_task(name))
            if drawn:
                parameters = parameters.for_drawing()
            ready = await self.path.check(own, PARTS[name].task, replace(given, parameters=parameters))
        except ServiceError as error:
            return Part(name, own, None, error)
        finally:
            opened.limit, opened.deadline_s = own.limit, own.deadline_s
        return Part(name, own, ready)

    def _with_model(self, parameters: TaskParameters) -> TaskParameters:
        """The parameters with the model that answers `segment.kind`."""
        if not isinstance(parameters, AnalyzedSegmentation) or parameters.kind is None:
            return parameters
        registry, kind = self.path.registry, parameters.kind
        if parameters.model is not None:
            found = registry.get(parameters.model)
            if found.kind != kind and found.task == "segmentation":
                message = f"segment.kind: {found.name} answers with {found.kind} masks, not {kind} ones"
                raise InvalidParameters(message, {"parameter": "segment.kind"})
            return parameters
        names = [model.name for model in registry.served() if model.task == "segmentation" and model.kind == kind]
        if not names:
            raise ModelNotFound(f"no model for {kind} masks is loaded; name one as segment.model", {"kind": kind})
        return parameters.model_copy(update={"model": names[0]})

    async def answer(
        self, opened: OpenRequest, caller: Caller, parts: Sequence[Part], policy: CachePolicy
    ) -> list[PartAnswers]:
        """Predict all parts at once; a part that fails does not fail the others.

        Args:
            opened: The analysis, which holds a slot of the limiter.
            caller: The client.
            parts: Of the analysis.
            policy: Whether the cache is read and written.
        """
        left_s = opened.deadline_s - time.time()
        seconds = left_s - min(WRITING_SHARE * left_s, WRITING_S)
        decodes = Decodes([(part.ready[0], part.ready[1].parameters) for part in parts if part.ready], self.settings)
        found = await asyncio.gather(*(self._answer(part, caller, seconds, policy, decodes) for part in parts))
        opened.images = max(part.found.images for part in parts)
        answers: list[PartAnswers] = []
        for part, of_part in zip(parts, found, strict=True):
            answers += await self._of_tasks(part, of_part.answers, opened.limit)
        everything = [answer for part in answers for answer in part.answers]
        opened.failed = any(isinstance(answer, ServiceError) and answer.status >= 500 for answer in everything)
        opened.cached = any(isinstance(answer, Answer) and answer.cached for answer in everything)
        if any(isinstance(answer, ServiceError) for answer in everything):
            opened.outcome = "partial"
        return answers

    async def _answer(
        self, part: Part, caller: Caller, seconds: float, policy: CachePolicy, decodes: Decodes
    ) -> PartAnswers:
        own = replace(caller, part=part.name)
        try:
            async with self.path.open_part(own, part.found.task, seconds) as opened:
                opened.model, opened.version, opened.images = part.found.model, part.found.version, part.found.images
                if part.problem is not None:
                    raise part.problem
                assert part.ready is not None
                served, given = part.ready
                return PartAnswers(
                    part.name, tuple(await self.path.answer(opened, own, served, given, policy, decodes))
                )
        except OutOfTime:
            error: ServiceError = OutOfTime(f"{part.name} took longer than the time limit of the request")
        except ServiceError as failure:
            error = failure
        except Exception as failure:
            log.error("part of an analysis failed", task=part.name, exc_info=failure)
            error = ServiceError("the model failed on this image")
        return PartAnswers(part.name, (error,) * max(1, part.found.images))

    async def _of_tasks(
        self, part: Part, answers: tuple[Answer | ServiceError, ...], limit: TimeLimit
    ) -> list[PartAnswers]:
        """The answers of each task: those of the part, or of a multi-task network one for each task it answers."""
        if part.kinds is None:
            return [PartAnswers(part.name, answers)]
        kinds = part.kinds
        split = await self.responder.make(answers, lambda: split_answer(answers, kinds), limit)
        return [PartAnswers(task, own) for task, own in split.items()]

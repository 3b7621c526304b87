"""The parameters of a request for inference: those of `/v1`, of a multi-task network with the part as prefix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from models.entries import Kind, Task
from models.kinds import KINDS
from services.errors import InvalidParameters
from services.gateway.inputs import validate
from services.gateway.open_inference.messages import InferRequest, RequestedOutput
from services.gateway.open_inference.outputs import Output
from services.gateway.serving.served_model import ServedModel
from services.kinds import TASKS
from services.kinds.request_parameters import RequestParameters

Wanted = list[tuple[Output, RequestedOutput]]
"""Outputs of a response, and how the client wants each."""

TIMEOUT: Final = "timeout"
"""Parameter of a request: its time limit in microseconds; 0 is no limit of its own."""

IGNORED: Final = frozenset({TIMEOUT, "binary_data_output", "priority", "headers", "triton_enable_empty_final_response"})
"""Parameters of the protocol that do not reach the model; priorities have no effect."""

_OTHER_PROTOCOL: Final = frozenset({"model", "render", "format", "image_id", "mask_format"})
"""Parameters of `/v1` about the form of its responses."""


def read_parameters(model: ServedModel, name: str, sent: InferRequest, wanted: Wanted) -> RequestParameters:
    """The parameters for the model, out of those of the request.

    Args:
        model: The model.
        name: As the request has it.
        sent: The request.
        wanted: The outputs of its response; of a multi-task network, only the parts run to which one of them belongs.

    Raises:
        InvalidParameters: a parameter is unknown, or its value is wrong.
    """
    given: dict[str, Any] = {key: value for key, value in sent.parameters.items() if key not in IGNORED}
    if model.kind == "multitask":
        return _read_parts(model, name, given, wanted)
    _refuse_unknown(model, given, _known(model.task))
    return _validated(model.task, name, given, wanted)


def _read_parts(model: ServedModel, name: str, given: Mapping[str, Any], wanted: Wanted) -> RequestParameters:
    from services.kinds.multitask import OF_ONE_MODEL, MultitaskRequest  # only where such a network is served

    named = {output.part for output, _ in wanted}
    every: Mapping[Kind, Any] = model.entry["parts"]
    parts = [kind for kind in every if kind in named or None in named]
    for key in given:
        if (part := key.partition(".")[0]) in every and part not in parts:
            raise InvalidParameters(
                f"{key[:80]}: no output of {part} is requested, so it does not run", {"parameter": key}
            )
    known = {kind: set(_known(KINDS[kind].task)) - set(OF_ONE_MODEL) for kind in parts}
    _refuse_unknown(model, given, [f"{kind}.{one}" for kind, own in known.items() for one in sorted(own)])
    found: list[tuple[str, RequestParameters]] = []
    for kind in parts:
        own = {key.removeprefix(f"{kind}."): value for key, value in given.items() if key.startswith(f"{kind}.")}
        outputs = [(output, how) for output, how in wanted if output.part == kind]
        found.append((kind, _validated(KINDS[kind].task, name, own, outputs, within=kind)))
    return MultitaskRequest(model=name, parts=tuple(found))


def _known(task: Task) -> list[str]:
    fields = TASKS[task].parameters.model_fields
    return sorted({field.alias or name for name, field in fields.items()} - _OTHER_PROTOCOL)


def _refuse_unknown(model: ServedModel, given: Mapping[str, Any], known: Sequence[str]) -> None:
    if unknown := [key for key in given if key not in known]:
        message = f"unexpected parameter {unknown[0][:80]!r}; {model.name} has {', '.join(known)}"
        raise InvalidParameters(message, {"unknown": unknown[:10], "known": list(known)})


def _validated(task: Task, name: str, given: dict[str, Any], wanted: Wanted, within: str = "") -> RequestParameters:
    if classes := max((how.classes for _, how in wanted), default=0):
        given["top_k"] = max(classes, given["top_k"]) if isinstance(given.get("top_k"), int) else classes
    return validate(TASKS[task].parameters, {**given, "model": name}, within)

"""A request and a response of the Open Inference Protocol, as both of its transports write them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from services.gateway.open_inference.tensors import InputTensor, OutputTensor

MAX_TENSORS: Final = 64
"""The most inputs, outputs or parameters of a request."""

MAX_NAME: Final = 200
"""The most characters of the name of a tensor or a parameter."""

MAX_TEXT: Final = 2**16
"""The most characters of a parameter."""

MAX_ID: Final = 1024
"""The most characters of the id of a request."""

Parameter = bool | int | float | str


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """An output that the client has named.

    Attributes:
        name: Of the output.
        is_binary: Over HTTP: whether it follows the JSON in binary.
        classes: Return so many of the most probable classes in its place, as text (classification extension); 0: none.
    """

    name: str
    is_binary: bool = False
    classes: int = 0


def first_of_each(outputs: Iterable[RequestedOutput]) -> tuple[RequestedOutput, ...]:
    """Outputs without those that were named before, which are ignored as by Triton."""
    first: dict[str, RequestedOutput] = {}
    for output in outputs:
        first.setdefault(output.name, output)
    return tuple(first.values())


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A request for inference.

    Attributes:
        inputs: In the order of the request.
        outputs: The outputs that the client has named, each once; empty: the usual ones.
        parameters: Of the request.
        id: Is echoed.
        is_binary: Over HTTP: whether outputs that are not named follow the JSON in binary.
        size: Bytes of the request.
    """

    inputs: tuple[InputTensor, ...]
    outputs: tuple[RequestedOutput, ...] = ()
    parameters: Mapping[str, Parameter] = field(default_factory=dict[str, Parameter])
    id: str = ""
    is_binary: bool = False
    size: int = 0

    def binary_outputs(self, outputs: Iterable[OutputTensor]) -> frozenset[str]:
        """Names of those outputs that the client wants in binary."""
        if self.outputs:
            return frozenset(output.name for output in self.outputs if output.is_binary)
        return frozenset(output.name for output in outputs if self.is_binary)


@dataclass(frozen=True, slots=True)
class InferResponse:
    """The response to a request for inference.

    Attributes:
        model: Name of the model.
        version: Version that predicted.
        id: That of the request.
        outputs: In the order of the request.
    """

    model: str
    version: str
    id: str
    outputs: tuple[OutputTensor, ...]

    @property
    def size(self) -> int:
        """Bytes of all outputs, about."""
        return sum(output.size for output in self.outputs)

"""Writes `config.pbtxt`, the description of a model in a Triton model repository.

Source: https://github.com/triton-inference-server/common/blob/main/protobuf/model_config.proto
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Backend = Literal["onnxruntime", "python"]

_TEMPLATE = """\
name: "{name}"
backend: "{backend}"
max_batch_size: {max_batch_size}
version_policy {{ all {{ }} }}
input [
  {{ name: "{input_name}" data_type: TYPE_UINT8 dims: {input_dims} }}
]
output [
{outputs}
]
dynamic_batching {{ }}
instance_group [
  {{ kind: KIND_AUTO count: {instances} }}
]
{parameters}model_warmup [
{warm_ups}
]
"""
_THREADS = 'parameters {{ key: "intra_op_thread_count" value {{ string_value: "{threads}" }} }}\n'


@dataclass(frozen=True)
class TritonConfig:
    """A model as `config.pbtxt` describes it.

    Attributes:
        name: Name of the model.
        backend: What runs it.
        max_batch_size: The most images of a batch, at least 1.
        instances: Copies of the network on each device.
        threads: CPU threads of each copy; None leaves them to ONNX Runtime.
        input_name: Of pixels in uint8.
        input_dims: Of one image; -1 where it may have any size.
        outputs: Name and dimensions of each float32 output, likewise.
        warm_up_sizes: (height, width) of inputs that the server runs before the model is ready.
    """

    name: str
    backend: Backend
    max_batch_size: int
    instances: int
    threads: int | None
    input_name: str
    input_dims: Sequence[int]
    outputs: Sequence[tuple[str, Sequence[int]]]
    warm_up_sizes: Sequence[tuple[int, int]]

    def to_text(self) -> str:
        """The file's content."""
        outputs = (f'  {{ name: "{name}" data_type: TYPE_FP32 dims: {list(dims)} }}' for name, dims in self.outputs)
        return _TEMPLATE.format(
            name=self.name,
            backend=self.backend,
            max_batch_size=self.max_batch_size,
            instances=self.instances,
            input_name=self.input_name,
            input_dims=list(self.input_dims),
            outputs=",\n".join(outputs),
            parameters="" if self.threads is None else _THREADS.format(threads=self.threads),
            warm_ups=",\n".join(self._warm_up(*size) for size in self.warm_up_sizes),
        )

    def _warm_up(self, height: int, width: int) -> str:
        dims = [height, width, self.input_dims[2]]
        value = f"{{ data_type: TYPE_UINT8 dims: {dims} zero_data: true }}"
        inputs = f'{{ key: "{self.input_name}" value: {value} }}'
        return f'  {{ name: "{height}x{width}" batch_size: 1 inputs {inputs} }}'

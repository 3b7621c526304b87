"""A real Triton server beside Tapetum, with models that have the same inputs and outputs and compute the same.

`noop` is the no-op classifier, `batched` the same with Triton's own batch dimension, and `yolo-person` a detector that
finds nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from tests.triton_server import triton_server
from tests.unit.hosted_gateway import hosted_gateway

CLASS_COUNT: Final = 10

_INPUTS: Final = """
input [
  { name: "image" data_type: TYPE_STRING dims: [ -1 ] optional: true },
  { name: "pixels" data_type: TYPE_UINT8 dims: [ -1, -1, -1, 3 ] optional: true }
]
"""
_BACKEND: Final = """
backend: "python"
max_batch_size: %d
instance_group [{ kind: KIND_CPU count: 1 }]
"""
_CLASSIFIER: Final = """
output [
  { name: "probabilities" data_type: TYPE_FP32 dims: [ %s ] label_filename: "labels.txt" },
  { name: "class_ids" data_type: TYPE_INT64 dims: [ %s ] },
  { name: "class_names" data_type: TYPE_STRING dims: [ %s ] },
  { name: "predictions" data_type: TYPE_STRING dims: [ %s ] }
]
"""
_DETECTOR: Final = """
output [
  { name: "num_detections" data_type: TYPE_INT32 dims: [ -1 ] },
  { name: "boxes" data_type: TYPE_FP32 dims: [ -1, 4 ] },
  { name: "scores" data_type: TYPE_FP32 dims: [ -1 ] },
  { name: "class_ids" data_type: TYPE_INT64 dims: [ -1 ] },
  { name: "class_names" data_type: TYPE_STRING dims: [ -1 ] },
  { name: "image_sizes" data_type: TYPE_INT32 dims: [ -1, 2 ] },
  { name: "predictions" data_type: TYPE_STRING dims: [ -1 ] }
]
"""
_READ: Final = """
import json

import numpy as np
import triton_python_backend_utils as pb_utils


def count_of(request):
    for name in ("image", "pixels"):
        tensor = pb_utils.get_input_tensor_by_name(request, name)
        if tensor is not None:
            return tensor.as_numpy().shape[0]
    raise pb_utils.TritonModelException("the request has no input")


def respond(request, outputs):
    names = request.requested_output_names()
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, outputs[name]) for name in names if name in outputs])
"""
_CLASSIFY: Final = """
class TritonPythonModel:
    def execute(self, requests):
        return [self.classify(request) for request in requests]

    def classify(self, request):
        count = count_of(request)
        top_k = json.loads(request.parameters() or "{}").get("top_k", 5)
        weights = np.arange(10, 0, -1, dtype=np.float32)
        rows = np.tile(np.round(weights / weights.sum(), 6)[:top_k], (count, 1))
        ids = np.tile(np.arange(top_k, dtype=np.int64), (count, 1))
        names = np.array([[f"class {one}".encode() for one in row] for row in ids], dtype=object)
        return respond(request, {"probabilities": rows, "class_ids": ids, "class_names": names})
"""
_DETECT: Final = """
class TritonPythonModel:
    def execute(self, requests):
        return [self.detect(request) for request in requests]

    def detect(self, request):
        sizes = np.full((count_of(request), 2), 64, np.int32)
        return respond(
            request,
            {
                "num_detections": np.zeros(len(sizes), np.int32),
                "boxes": np.zeros((0, 4), np.float32),
                "scores": np.zeros(0, np.float32),
                "class_ids": np.zeros(0, np.int64),
                "class_names": np.zeros(0, np.object_),
                "image_sizes": sizes,
            },
        )
"""


DEPLOYMENTS: Final = [
    {"name": "Classifier", "task": "classification", "models": ["noop"], "precision": "fp32"},
    {"name": "Detector", "task": "detection", "models": ["yolo-person"], "precision": "fp32"},
]


@dataclass(frozen=True)
class Server:
    """One of the two servers.

    Attributes:
        http: Client of its HTTP server.
        grpc: Host and port of its gRPC server.
        names: Its names of models that are called otherwise by Triton.
    """

    http: httpx.Client
    grpc: str
    names: Mapping[str, str]

    def name_of(self, model: str) -> str:
        """Its name of one of Triton's models."""
        return self.names.get(model, model)


@contextmanager
def triton_and_tapetum(folder: Path) -> Iterator[tuple[Server, Server]]:
    """Start both; skips the test where there can be no Triton.

    Args:
        folder: Takes the model repository and Triton's log.
    """
    write_twins(folder / "repository")
    with (
        triton_server(folder / "repository", folder / "log") as triton,
        hosted_gateway(DEPLOYMENTS) as tapetum,
        httpx.Client(base_url=f"http://127.0.0.1:{triton.http_port}") as of_triton,
        httpx.Client(base_url=tapetum.url) as of_tapetum,
    ):
        yield (
            Server(of_triton, triton.url, {}),
            Server(of_tapetum, tapetum.grpc_address, {"batched": "noop"}),
        )


def write_twins(repository: Path) -> None:
    """Write the model repository.

    Args:
        repository: Folder, which is made.
    """
    column = 'input [{ name: "image" data_type: TYPE_STRING dims: [ 1 ] }]'
    _write(repository / "noop", _BACKEND % 0 + _INPUTS + _CLASSIFIER % ("-1, -1", "-1, -1", "-1, -1", "-1"), _CLASSIFY)
    _write(repository / "batched", _BACKEND % 8 + column + _CLASSIFIER % ("-1", "-1", "-1", "1"), _CLASSIFY)
    _write(repository / "yolo-person", _BACKEND % 0 + _INPUTS + _DETECTOR, _DETECT)
    for name in ("noop", "batched"):
        labels = "".join(f"class {index}\n" for index in range(CLASS_COUNT))
        (repository / name / "labels.txt").write_text(labels)


def _write(folder: Path, config: str, code: str) -> None:
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(config)
    (folder / "1" / "model.py").write_text(_READ + code)

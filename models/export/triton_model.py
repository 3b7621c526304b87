"""A model of Triton's python backend: runs `model.onnx` beside this file with ONNX Runtime.

It needs `onnxruntime` and `numpy` in the Python of the server, and nothing else.
"""

# pyright: reportMissingImports=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """See https://github.com/triton-inference-server/python_backend."""

    def initialize(self, args: dict[str, str]) -> None:
        """Opens the ONNX file, on a GPU where the instance is on one."""
        config: dict[str, Any] = json.loads(args["model_config"])
        options = onnxruntime.SessionOptions()
        threads = config.get("parameters", {}).get("intra_op_thread_count")
        if threads:
            options.intra_op_num_threads = int(threads["string_value"])
        providers: list[Any] = ["CPUExecutionProvider"]
        if args["model_instance_kind"] == "GPU":
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": args["model_instance_device_id"]}))
        path = Path(args["model_repository"], args["model_version"], "model.onnx")
        self.session: Any = onnxruntime.InferenceSession(str(path), options, providers=providers)
        (self.input_name,) = (value.name for value in self.session.get_inputs())
        self.output_names = [value.name for value in self.session.get_outputs()]

    def execute(self, requests: list[Any]) -> list[Any]:
        """Runs all requests as one batch; they have equal shapes but for the number of images."""
        inputs = [pb_utils.get_input_tensor_by_name(request, self.input_name).as_numpy() for request in requests]
        outputs = self.session.run(self.output_names, {self.input_name: np.concatenate(inputs)})
        ends = np.cumsum([len(value) for value in inputs])[:-1]
        parts = zip(*(np.split(output, ends) for output in outputs), strict=True)
        return [
            pb_utils.InferenceResponse(
                [pb_utils.Tensor(name, part) for name, part in zip(self.output_names, one, strict=True)]
            )
            for one in parts
        ]

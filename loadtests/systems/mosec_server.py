"""mosec with Tapetum's own adapter, set up for two cores.

    body ──► Decode, 2 processes ──► Predict, 2 processes: batches of up to 8, 5 ms wait ──► JSON

mosec speaks HTTP in Rust; each stage is a process of its own, and images travel between them by pickle over Unix
sockets, which is mosec's default. (Its mixin for shared memory needs `pyarrow.plasma`, which pyarrow has not had since
version 12.) Weights, precision, runtime and the answer's JSON are those of Tapetum. Arguments: the Serve configuration
file, whose first model it serves, and mosec's own.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mosec  # pyright: ignore[reportMissingImports]
import orjson

if TYPE_CHECKING:
    from models.adapter import Adapter, ModelInput
    from models.predictions import Prediction

MAX_BATCH_SIZE = 8
MAX_WAIT_MS = 5
PROCESSES = 2


class Decode(mosec.Worker):  # pyright: ignore[reportUntypedBaseClass]
    """The first stage: from a file's bytes to the input of the network."""

    def __init__(self) -> None:
        super().__init__()
        self.adapter = load_adapter(type(self))

    def deserialize(self, data: bytes) -> bytes:
        """The body is the file."""
        return bytes(data)

    def forward(self, data: bytes) -> ModelInput:
        """Decode and preprocess one image."""
        return self.adapter.preprocess(self.adapter.decode(data))


class Predict(mosec.Worker):  # pyright: ignore[reportUntypedBaseClass]
    """The last stage: the network and what follows it, for a batch."""

    def __init__(self) -> None:
        from services.kinds.completion import complete

        super().__init__()
        self.adapter = load_adapter(type(self))
        entry = self.adapter.entry
        self.parameters = complete(entry.kind, {}, entry.defaults, self.adapter.class_names)
        self.identity = {"model": entry.name, "version": entry.version}

    def forward(self, data: Sequence[ModelInput]) -> list[Prediction]:
        """Predictions of the same length and order; inputs of one shape share a run of the network."""
        places: defaultdict[Hashable, list[int]] = defaultdict(list)
        for index, model_input in enumerate(data):
            places[model_input.batch_key].append(index)
        predictions: dict[int, Prediction] = {}
        for indices in places.values():
            batch = [data[index] for index in indices]
            raw = self.adapter.forward(batch)
            predictions.update(
                zip(indices, self.adapter.postprocess(raw, batch, [self.parameters] * len(batch)), strict=True)
            )
        return [predictions[index] for index in range(len(data))]

    def serialize(self, data: Prediction) -> bytes:
        """The answer in the shape of Tapetum's."""
        from services.answers.wire import describe_prediction

        return orjson.dumps({**self.identity, **describe_prediction(data, self.adapter.class_names), "cached": False})


def load_adapter(stage: type[mosec.Worker]) -> Adapter[Any, Any]:
    """The model of the configuration file, on one thread. The process that starts the others does without torch."""
    import torch

    from loadtests.systems.floor import adapter_of
    from services.serve_file import read_serve_file

    torch.set_num_threads(1)
    Path("/proc/self/comm").write_text(stage.__name__)  # so that a process can be told by its name
    return adapter_of(read_serve_file(Path(sys.argv[1])).topology.deployments[0])


if __name__ == "__main__":
    server = mosec.Server()
    server.append_worker(Decode, num=PROCESSES)
    server.append_worker(Predict, num=PROCESSES, max_batch_size=MAX_BATCH_SIZE, max_wait_time=MAX_WAIT_MS)
    server.run()

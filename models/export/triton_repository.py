"""Exports catalog models to a Triton model repository.

DIR/NAME/config.pbtxt          the description of the model
DIR/NAME/VERSION/model.onnx    its network, from pixels to raw outputs
DIR/NAME/VERSION/model.py      for the python backend, which runs the ONNX file by it
"""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from models.adapter import Adapter
from models.errors import ExportError
from models.export.agreement import TOLERANCE, Agreement, compare, photo_batches
from models.export.captured_network import capture
from models.export.naming import ServerModel, server_model
from models.export.onnx_network import INPUT, OnnxExecutor, export_onnx, output_names, require_exporter
from models.export.triton_config import Backend, TritonConfig
from models.letterbox_adapter import LetterboxedAdapter

_PYTHON_MODEL: Final = Path(__file__).with_name("triton_model.py")
_WARM_UPS: Final = 2
"""Sizes of the warm-up, the most frequent first: on a CPU, one run of a large detector takes seconds."""


@dataclass(frozen=True)
class RepositoryOptions:
    """How a Triton server runs the models.

    Attributes:
        backend: `onnxruntime`, or `python`, which every server has.
        max_batch_size: The most images of a batch.
        instances: Copies of a network on each device.
        threads: CPU threads of each copy; None leaves them to ONNX Runtime, which takes all cores for each.
    """

    backend: Backend = "onnxruntime"
    max_batch_size: int = 16
    instances: int = 1
    threads: int | None = None


@dataclass(frozen=True)
class ExportedModel:
    """A model that was written.

    Attributes:
        model: Its name and version on the server.
        path: Of its version folder.
        agreement: How far its outputs differ from those of the adapter's own network.
    """

    model: ServerModel
    path: Path
    agreement: Agreement


def export_model(name: str, folder: Path, options: RepositoryOptions = RepositoryOptions()) -> ExportedModel:
    """Exports a model, compares it with the adapter's own network on photos, and adds it to a model repository.

    The version folder appears as a whole or not at all.

    Args:
        name: A name of `models.catalog.lookup`.
        folder: The repository; made where it is missing.
        options: For the server.

    Raises:
        ExportError: The extra `export` is not installed, the network cannot be exported, its outputs differ by more
            than `models.export.agreement.TOLERANCE`, or this version is in the repository already.
        ModelsError: The model cannot be loaded, see `models.catalog.loading.load`.
        OSError: The files cannot be written.
    """
    require_exporter()
    captured = capture(name)
    model = server_model(captured.adapter.entry)
    place = folder / model.name / model.version
    if place.exists():
        raise ExportError(name, f"{place} exists; delete it first, or choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    batches = photo_batches(captured.adapter)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as scratch:
        version = Path(scratch, model.version)
        version.mkdir()
        executor = export_onnx(captured, batches[0], version / "model.onnx")
        agreement = compare(captured.executor, executor, batches)
        if not agreement.is_close:
            raise ExportError(name, _disagreement(agreement))
        if options.backend == "python":
            shutil.copyfile(_PYTHON_MODEL, version / "model.py")
        config = Path(scratch, "config.pbtxt")
        config.write_text(_config(model, captured.adapter, executor, options).to_text(), encoding="utf-8")
        place.parent.mkdir(exist_ok=True)
        version.rename(place)
        config.replace(place.parent / config.name)
    return ExportedModel(model, place, agreement)


def _config(
    model: ServerModel, adapter: Adapter[Any, Any], executor: OnnxExecutor, options: RepositoryOptions
) -> TritonConfig:
    sizes = [adapter.entry.preprocessing.largest_size]
    if isinstance(adapter, LetterboxedAdapter):
        sizes = adapter.usual_input_sizes()[:_WARM_UPS]
    return TritonConfig(
        name=model.name,
        backend=options.backend,
        max_batch_size=options.max_batch_size,
        instances=options.instances,
        threads=options.threads,
        input_name=INPUT,
        input_dims=_dims(executor.input_shape),
        outputs=[
            (output, _dims(shape))
            for output, shape in zip(output_names(len(executor.output_shapes)), executor.output_shapes, strict=True)
        ],
        warm_up_sizes=sizes,
    )


def _dims(shape: Sequence[int | str]) -> list[int]:
    """Dimensions without the batch, as Triton writes them: -1 for those that are not fixed."""
    return [size if isinstance(size, int) else -1 for size in shape[1:]]


def _disagreement(agreement: Agreement) -> str:
    return (
        f"the exported network differs by {agreement.relative:.2g} of its largest output, more than {TOLERANCE:g}; "
        "nothing was written"
    )

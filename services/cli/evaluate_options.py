"""The options of `tapetum evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from services.cli.options import ApiKey, Augment, Device, PrecisionOption
from services.machine.gpus import gpu_is_seen

DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_DASHBOARD = "http://127.0.0.1:8265"


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """Options of `tapetum evaluate`."""

    model: Annotated[str, typer.Option(metavar="NAME", help="The model, by its name in the catalog.")]
    data: Annotated[
        str,
        typer.Option(
            metavar="SPEC",
            help="Labelled images: a COCO JSON file, or a folder in the format of YOLO, Pascal VOC, id PNGs or one "
            "folder a class, or a CSV file; `digits` is built in.",
        ),
    ]
    task: Annotated[
        Literal["classify", "detect", "segment", "semantic"] | None,
        typer.Option(
            metavar="TASK",
            help="Of a model that answers several tasks, which: classify, detect, segment (masks of objects), "
            "semantic.",
        ),
    ] = None
    through: Annotated[
        Literal["adapter", "gateway"],
        typer.Option(metavar="WAY", help="adapter: run the model in workers; gateway: use a server."),
    ] = "adapter"
    url: Annotated[str | None, typer.Option(metavar="URL", help=f"The server; {DEFAULT_URL} by default.")] = None
    api_key: ApiKey = None
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Use N images only: the first, or for a classifier evenly sampled."),
    ] = None
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Worker processes; by default one for each CPU, at most four."),
    ] = None
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the run; a new one in evaluations/ by default."),
    ] = None
    fresh: Annotated[bool, typer.Option("--fresh", help="Start again instead of resuming a stopped run.")] = False
    baseline: Annotated[Path | None, typer.Option(metavar="RUN", help="Folder of an earlier run, to compare with.")] = (
        None
    )
    max_drop: Annotated[
        list[str] | None,
        typer.Option(
            metavar="POINTS",
            help="Fail where a figure is more than so many points (hundredths) worse than the baseline's; the most "
            "important figure, or with NAME=POINTS another. May be repeated.",
        ),
    ] = None
    fail_under: Annotated[
        list[str] | None,
        typer.Option(metavar="BOUND", help="NAME=VALUE: fail where that figure is worse. May be repeated."),
    ] = None
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop on a wrong or missing label instead of dropping it.")
    ] = False
    allow_outside: Annotated[
        bool,
        typer.Option("--allow-outside", help="Read files outside the data folder that labels or links lead to."),
    ] = False
    score_threshold: Annotated[
        float,
        typer.Option(min=0, max=1, metavar="0…1", help="Drop objects with a lower score; average precision needs all."),
    ] = 0.001
    iou_threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, metavar="0…1", help="IoU threshold of NMS; by default the model's own."),
    ] = None
    max_detections: Annotated[
        int, typer.Option(min=1, max=1000, metavar="N", help="Evaluate the best N objects of an image; 100 in COCO.")
    ] = 100
    augment: Augment = False
    device: Device = None
    precision: PrecisionOption = None
    address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Run on the Ray cluster there, such as 127.0.0.1:6379; on one of its own by default. With --submit, "
            f"the URL of its dashboard; {DEFAULT_DASHBOARD} by default.",
        ),
    ] = None
    worker_cpus: Annotated[
        float | None,
        typer.Option(min=0, metavar="N", help="CPUs that a worker reserves: 1, or 0 with --address, by default."),
    ] = None
    worker_gpus: Annotated[float, typer.Option(min=0, metavar="N", help="GPUs that a worker reserves.")] = 0.0
    submit: Annotated[
        bool, typer.Option("--submit", help="Submit as a job to a running Ray cluster, and follow its output.")
    ] = False
    record: Annotated[
        bool,
        typer.Option(help="Let servers show the figures, in /metrics and /v1/accuracy; never those of --limit."),
    ] = True
    as_json: Annotated[bool, typer.Option("--json", help="Print result.json instead of tables.")] = False

    def check(self) -> None:
        """Raise unless the options fit each other.

        Raises:
            typer.BadParameter: names one that does not.
        """
        if self.through == "adapter" and self.url is not None:
            raise typer.BadParameter("--url goes with --through gateway")
        if self.through == "gateway" and (self.device or self.precision):
            raise typer.BadParameter(
                "the server decides on device and precision; leave them out with --through gateway"
            )
        if self.worker_gpus and not (self.device or "cpu").startswith("cuda"):
            raise typer.BadParameter("--worker-gpus reserves GPUs that nothing would use; add --device cuda")
        if self.device is not None and not gpu_is_seen(self.device, self.worker_gpus):
            raise typer.BadParameter(f"{self.device}: a worker sees the GPUs that it reserves alone, from cuda:0 on")
        if self.max_drop and self.baseline is None:
            raise typer.BadParameter("--max-drop needs a --baseline to drop from")

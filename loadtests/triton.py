"""A model in the replica beside the same model at a Triton server, behind the same gateway, in one run.

    python -m loadtests.triton                                  # efficientnet-lite0, yolo-person and unet-person
    python -m loadtests.triton --model yolo-person --seconds 5

The Triton server is real and runs on this machine (`loadtests.triton_server`), with its python backend and ONNX Runtime
in fp32; the replica has its default backend, in fp32. Both run as many batches at once as the configuration has device
threads, with one CPU thread each. CPU time is that of all processes: of HAProxy, gateway, replica and Triton.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from loadtests import machine
from loadtests.contenders import Contender, tapetum_without_cache, with_one_model
from loadtests.environments import NoEnvironment
from loadtests.load_plan import LoadPlan
from loadtests.measuring import Measurement, measure
from loadtests.photos import photos
from loadtests.processes import LOOPBACK, RunningSystem, SystemFailed
from loadtests.triton_server import TritonServer
from loadtests.workloads import WORKLOADS, Workload
from models.export.triton_repository import RepositoryOptions, export_model
from services.local.stack import DEFAULT_CONFIG
from services.machine.cpus import count_cpus

REPLICA: Final = "replica"
TRITON: Final = "Triton, python backend"
PHOTO: Final = (480, 640)
WARM_UP_S: Final = 1.0


class Together:
    """A stack and a Triton server, as the system whose CPU time is read.

    Args:
        stack: The stack.
        server: The server.
    """

    def __init__(self, stack: RunningSystem, server: TritonServer | None) -> None:
        self._stack = stack
        self._server = server

    def cpu_s(self) -> Mapping[int, float]:
        """See `loadtests.processes.RunningSystem.cpu_s`."""
        return {**self._stack.cpu_s(), **(self._server.cpu_s() if self._server else {})}


def main() -> None:
    """Measures and prints a table."""
    options = parse_options()
    about = machine.describe()
    print(f"{about['cpu']}, {about['cores']} cores, {about['busy_before']:.0%} busy before, {about['date']}\n")
    print("| model | runs in | concurrency | answers/s | p50, ms | p99, ms | CPU, ms per answer | CPU, times |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    try:
        for workload in WORKLOADS.values():
            if not options.model or workload.model in options.model:
                with tempfile.TemporaryDirectory(prefix="tapetum-triton-") as folder:
                    compare(workload, options.concurrency, options.seconds, Path(folder))
    except (SystemFailed, NoEnvironment) as error:
        raise SystemExit(f"error: {error}") from None


def parse_options() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.triton", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--model", nargs="+", help="which; by default the first one of each task")
    parser.add_argument("--concurrency", nargs="+", type=int, default=(1, 8), help="connections; 1 and 8 by default")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measured window; 4 by default")
    return parser.parse_args()


def compare(workload: Workload, concurrencies: list[int], seconds: float, folder: Path) -> None:
    """Prints the rows of one model."""
    bodies = tuple(_written(folder, number, photo) for number, photo in enumerate(photos(PHOTO, workload.pictures)))
    config = with_one_model(DEFAULT_CONFIG, workload.model, folder / "config.yaml")
    reference: dict[int, float] = {}
    with triton_server(workload.model, config, folder) as server:
        for name, url in ((REPLICA, None), (TRITON, server.url)):
            changed = config_for(config, url, folder / "changed.yaml")
            contender = tapetum_without_cache(changed, workload)
            with contender.running(folder) as (stack, port):
                for concurrency in concurrencies:
                    plan = plan_of(contender, port, bodies, concurrency, seconds)
                    done = measure(plan, Together(stack, server if url else None))
                    reference.setdefault(concurrency, done.system_cpu_ms or float("nan"))
                    print(row(workload.model, name, concurrency, done, reference[concurrency]), flush=True)


@contextmanager
def triton_server(model: str, config: Path, folder: Path) -> Iterator[TritonServer]:
    """A Triton server of one model, with as many copies of the network as the configuration has device threads."""
    deployment = _deployment(yaml.safe_load(config.read_text(encoding="utf-8")))
    copies = deployment.get("num_device_threads") or count_cpus()
    options = RepositoryOptions("python", deployment["max_batch_size"], copies, threads=1)
    export_model(model, folder / "repository", options)
    with TritonServer(folder / "repository", folder / "triton.log") as server:
        yield server


def config_for(config: Path, url: str | None, target: Path) -> Path:
    """The configuration in fp32: in the replica, or at the Triton server of a URL."""
    document = yaml.safe_load(config.read_text(encoding="utf-8"))
    deployment = _deployment(document)
    deployment["precision"] = "fp32"
    if url is not None:
        deployment |= {"backend": "triton", "triton": {"url": url}}
    target.write_text(yaml.safe_dump(document), encoding="utf-8")
    return target


def plan_of(contender: Contender, port: int, bodies: tuple[str, ...], concurrency: int, seconds: float) -> LoadPlan:
    """Photos one after the other, past the cache."""
    return LoadPlan(
        LOOPBACK,
        port,
        contender.path,
        dict(contender.headers),
        bodies,
        concurrency=concurrency,
        seconds=seconds,
        warm_up_s=WARM_UP_S,
        distinct=0,
    )


def row(model: str, name: str, concurrency: int, done: Measurement, reference_ms: float) -> str:
    """One row of the table."""
    if done.load.errors:
        raise SystemFailed(f"{model}, {name}: {done.load.errors}, first {done.load.first_error}")
    cpu_ms = done.system_cpu_ms or float("nan")
    return (
        f"| {model} | {name} | {concurrency} | {done.requests_per_s:.1f} | {done.load.p50_ms:.1f} | "
        f"{done.load.p99_ms:.1f} | {cpu_ms:.1f} | {cpu_ms / reference_ms:.2f} |"
    )


def _deployment(document: dict[str, Any]) -> dict[str, Any]:
    (deployment,) = document["applications"][0]["args"]["deployments"]
    return deployment


def _written(folder: Path, number: int, photo: bytes) -> str:
    path = folder / f"photo-{number}.jpg"
    path.write_bytes(photo)
    return str(path)


if __name__ == "__main__":
    main()

"""A deployment in a Serve configuration file: its models, what runs their networks, and on which devices."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from models.catalog.lookup import CatalogEntry, find
from models.catalog.version_names import split_name
from models.entries import ONNX, Task
from models.errors import ModelsError, UnknownModel
from models.export.naming import ServerModel, server_model
from models.kinds import task_names
from models.runtime import Runtime
from services.configuration import Strict
from services.machine.gpus import gpu_is_seen, is_reservable
from services.replica_scale import Scaled

Device = Annotated[str, Field(pattern=r"^(cpu|cuda(:\d+)?)$")]

PIXELS_PER_IMAGE = 640 * 640
"""What an image of a full batch may have on average, where `max_batch_pixels` is not set: the largest usual input."""


class TritonOptions(Strict):
    """The Triton server of a deployment with `backend: triton`."""

    url: str = Field(pattern=r"^[^\s/]+:\d+$", description="Host and gRPC port, such as `triton:8001`; required.")
    timeout_s: float = Field(
        default=5.0, gt=0, le=600, description="Longest time of a batch at the server, retries included."
    )
    retries: int = Field(default=2, ge=0, le=10, description="Further attempts where the server is unavailable.")
    health_interval_s: float = Field(
        default=1.0, gt=0, le=60, description="How often the server is asked whether the model is ready."
    )
    max_pause_s: float = Field(
        default=5.0, ge=0.5, le=60, description="Longest pause of the circuit breaker before the server is tried again."
    )
    max_difference: float = Field(
        default=0.02,
        gt=0,
        description="How far outputs may be from those of the network here, relative to the largest, on a test image.",
    )
    ssl: bool = Field(default=False, description="Use TLS.")
    root_certificates: str | None = Field(
        default=None, description="File of the certificates that are trusted (PEM); unset: those of gRPC."
    )
    private_key: str | None = Field(default=None, description="File of the client's key (PEM), for mutual TLS.")
    certificate_chain: str | None = Field(default=None, description="File of the client's certificates (PEM).")

    @model_validator(mode="after")
    def _certificates_need_tls(self) -> TritonOptions:
        for key in ("root_certificates", "private_key", "certificate_chain"):
            if getattr(self, key) is not None and not self.ssl:
                raise ValueError(f"{key} is set, but ssl is false")
        return self


class ModelSpec(Strict):
    """One version of a model of a deployment; a plain string in the file is short for `{name: …}`.

    Attributes:
        name: `NAME@VERSION`, or `NAME`: the version of the policy, by default the newest of the catalog.
        precision: In place of that of the deployment.
    """

    name: str
    precision: Literal["auto", "fp32", "bf16", "fp16"] | None = None
    server_model: str | None = Field(default=None, min_length=1)
    server_version: str | None = Field(default=None, pattern=r"^[1-9][0-9]*$")

    @property
    def entry(self) -> CatalogEntry:
        """The catalog's entry of this version."""
        return find(self.name)

    @property
    def model(self) -> str:
        """Name of the model, without its version."""
        return split_name(self.name)[0]

    @property
    def version(self) -> str:
        """The version; where `name` has none, the newest one of the catalog."""
        return split_name(self.name)[1] or self.entry.version

    def at_server(self, entry: CatalogEntry) -> ServerModel:
        """Name and version at a Triton server, by default those that a model is exported under.

        Args:
            entry: Of the version that is loaded; `server_version` is for the one that this names.
        """
        name, version = server_model(entry)
        if self.server_version is not None and entry.version == self.version:
            version = self.server_version
        return ServerModel(self.server_model or name, version)


def _spec_of(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _known_task(task: Task) -> Task:
    if task not in task_names():
        raise ValueError(f"must be one of {', '.join(task_names())}, not {task!r}")
    return task


class ModelDeployment(Scaled):
    """One deployment: replicas that each host the same models on one device."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", description="Name of the deployment; required.")
    task: Annotated[Task, AfterValidator(_known_task)] = Field(
        description="`classification`, `detection`, `keypoints` or `segmentation`; required."
    )
    models: tuple[Annotated[ModelSpec, BeforeValidator(_spec_of)], ...] = Field(
        min_length=1, description="Models that each replica hosts; required."
    )
    backend: Literal["auto", "torch", "openvino", "onnxruntime", "triton"] = Field(
        default="auto",
        description="What runs the networks: in the replica `openvino`, on CPUs, or `torch`, or for ONNX files "
        "`onnxruntime`; or a `triton` server. `auto`: OpenVINO where it is possible, else torch, or onnxruntime.",
    )
    triton: TritonOptions | None = Field(default=None, description="The server of `backend: triton`; see below.")
    device: Device = Field(
        default="cpu", description="`cpu`, `cuda` or `cuda:N`, the Nth of the GPUs that a replica reserves."
    )
    num_gpus: float | None = Field(
        default=None,
        ge=0,
        description="GPUs that Ray reserves for a replica; may be a fraction; unset: 1 for `cuda`, 0 for `cpu`.",
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto", description="`fp32`, `bf16`, `fp16`, or what is fastest here without changing answers."
    )
    channels_last: bool = Field(default=True, description="Keep activations as (N, H, W, C) in memory.")
    fuse: bool = Field(default=True, description="Fold batch norms into convolutions.")
    compile: bool = Field(default=False, description="Use torch.compile; adds seconds to the start.")
    cuda_graphs: bool = Field(
        default=False, description="Record a CUDA graph of each input shape on a GPU; not together with `compile`."
    )
    num_threads: int | None = Field(
        default=None, ge=1, description="Threads that one run of a network uses; unset: as many as `num_cpus`."
    )
    num_threads_alone: int | None = Field(
        default=None,
        ge=1,
        description="The same by OpenVINO while a replica has one image only, by a second copy of the network; unset: "
        "as many, and 2 where `tapetum serve` colocates models on several CPUs.",
    )
    num_device_threads: int | None = Field(
        default=None,
        ge=1,
        description="Batches that run side by side in a replica, or at a server. Unset: on a GPU 1, on a CPU as many "
        "as `num_cpus`; with `tapetum serve` as many as the machine has CPUs, divided by the number of colocated "
        "gateways.",
    )
    num_pool_threads: int = Field(default=2, ge=1, description="Threads that decode and post-process, for each model.")
    max_batch_size: int = Field(default=16, ge=1, description="Most images in one run of a network.")
    max_batch_pixels: int | None = Field(
        default=None,
        ge=1,
        description="Most pixels in one run, so that large inputs form smaller batches; unset: 640 × 640 per image.",
    )
    batch_wait_timeout_s: float = Field(
        default=0.0, ge=0, le=1, description="How long a partial batch waits for further images."
    )
    max_queued_images: int = Field(
        default=512, ge=1, description="Images that may wait in a replica; one more gets a 503."
    )
    max_queued_pixels: int | None = Field(
        default=None,
        ge=1,
        description="Pixels of network input that may wait, so that large inputs keep within memory; "
        "unset: 640 × 640 per image.",
    )
    max_ongoing_requests: int = Field(default=256, ge=1, description="Calls that a replica works on at a time.")

    @property
    def apart(self) -> str:
        """What keeps the models out of the gateway's replicas; empty where nothing does."""
        if self.device != "cpu":
            return f"device {self.device}"
        if self.autoscaling is not None or self.num_replicas > 1:
            return "replicas of a number of its own"
        return "resources of its own" if self.resources or self.accelerator_type else ""

    @property
    def device_threads(self) -> int:
        """Batches that run side by side in a replica."""
        return self.num_device_threads or (max(1, int(self.num_cpus)) if self.device == "cpu" else 1)

    @property
    def reserved_gpus(self) -> float:
        """GPUs that Ray reserves for a replica."""
        return float(self.device != "cpu") if self.num_gpus is None else self.num_gpus

    def runtime_of(self, spec: ModelSpec) -> Runtime:
        """The runtime of a model whose network runs in the replica."""
        assert self.backend != "triton"
        return Runtime(
            device=self.device,
            precision=spec.precision or self.precision,
            channels_last=self.channels_last,
            fuse=self.fuse,
            compile=self.compile,
            cuda_graphs=self.cuda_graphs,
            backend=self.backend,
            num_threads=self.num_threads,
            num_threads_alone=self.num_threads_alone,
            num_streams=self.device_threads,
        )

    @property
    def pixels_per_batch(self) -> int:
        """Most pixels of network input in one run; a larger image still runs, alone."""
        return self.max_batch_pixels or self.max_batch_size * PIXELS_PER_IMAGE

    @property
    def pixels_queued(self) -> int:
        """Most pixels of network input that may wait in a replica; a larger image still waits, alone."""
        return self.max_queued_pixels or self.max_queued_images * PIXELS_PER_IMAGE

    @model_validator(mode="after")
    def _models_fit(self) -> ModelDeployment:
        for spec in self.models:
            try:
                entry = spec.entry
            except UnknownModel as error:
                versions = [name for name in error.known if split_name(name)[0] == spec.model and name != spec.model]
                there = f"; there are: {', '.join(versions)}" if versions else ""
                raise ValueError(f"{error}{there}") from None
            except ModelsError as error:
                raise ValueError(str(error)) from None
            if entry.task != self.task:
                raise ValueError(f"{spec.name} is a model for {entry.task}, not for {self.task}")
        return self

    @model_validator(mode="after")
    def _backend_fits_onnx_files(self) -> ModelDeployment:
        for spec in self.models:
            is_onnx = spec.entry.architecture == ONNX
            if is_onnx and self.backend in ("torch", "triton"):
                raise ValueError(
                    f"{spec.name} is an ONNX file, which runs in the replica by OpenVINO or onnxruntime, not by "
                    f"{self.backend}: set backend to auto"
                )
            if not is_onnx and self.backend == "onnxruntime":
                raise ValueError(f"backend onnxruntime is for ONNX files, and {spec.name} is none: set backend to auto")
        return self

    @model_validator(mode="after")
    def _backend_fits(self) -> ModelDeployment:
        if self.backend != "triton":
            if self.triton is not None:
                raise ValueError(f"triton is set, but backend is {self.backend}: set backend to triton")
            for spec in self.models:
                if spec.server_model or spec.server_version:
                    raise ValueError(f"{spec.name} has a server_model or server_version, but backend is {self.backend}")
            if self.backend == "openvino" and (self.device != "cpu" or self.compile):
                raise ValueError("backend openvino is for CPUs, and compile for torch")
            return self
        if self.triton is None:
            raise ValueError("backend is triton, but triton.url is not set")
        if self.device != "cpu" or self.compile:
            raise ValueError("device and compile are for networks that run in the replica, not for backend: triton")
        for spec in self.models:
            if (spec.precision or self.precision) not in ("auto", "fp32"):
                raise ValueError(f"the precision of {spec.name} is that of its network at the Triton server")
            if spec.entry.weights.kind == "none":
                raise ValueError(f"{spec.name} has no network that a Triton server could run")
        return self

    @model_validator(mode="after")
    def _gpus_fit(self) -> ModelDeployment:
        if self.cuda_graphs and (self.device == "cpu" or self.compile or not self.fuse):
            raise ValueError("cuda_graphs is for GPUs, with fuse and without compile")
        if self.reserved_gpus and self.device == "cpu":
            raise ValueError("num_gpus is set, but device is cpu: set device to cuda")
        if self.device != "cpu" and not self.reserved_gpus:
            raise ValueError(
                f"device is {self.device}, but num_gpus is 0: Ray would start replicas where there is no GPU; leave it "
                "out for a whole one, or set a share such as 0.25"
            )
        if not is_reservable(self.reserved_gpus):
            raise ValueError(f"num_gpus is a share of a GPU or a whole number, not {self.num_gpus}")
        if not gpu_is_seen(self.device, self.reserved_gpus):
            raise ValueError(
                f"device is {self.device}, but num_gpus is {self.reserved_gpus:g}: a replica sees the GPUs that it "
                "reserves alone, from cuda:0 on; Ray spreads replicas over GPUs by itself"
            )
        return self

"""Deployments with `backend: triton`, in front of a real Triton server."""

from __future__ import annotations

import asyncio
import io
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import torch
from PIL import Image

from loadtests.triton_server import TritonServer
from models.export.triton_repository import RepositoryOptions, export_model
from services.answers.wire import Item
from services.deployments.host import ModelHost
from services.settings import read_settings
from tests.triton_server import triton_server
from tests.unit.classifier_cards import write_classifier
from tests.unit.detector_cards import write_detector
from tests.unit.hosted_answers import answer_of, photo
from tests.unit.hosted_gateway import hosted_gateway
from tests.unit.segmenter_cards import write_segmenter

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.usefixtures("one_thread")]
"""Exporting takes a minute, and several on a busy machine."""

DETECTOR, CLASSIFIER, SEGMENTER = "finds-anything", "names-anything", "small-unet"
PARAMETERS = {
    DETECTOR: {"score_threshold": 0.4, "iou_threshold": 0.3, "max_detections": 20, "class_ids": None},
    CLASSIFIER: {"top_k": 3},
    SEGMENTER: {"class_ids": None, "mask_format": "rle", "probabilities": True},
}
SIZE = (100, 70)
TASKS = {DETECTOR: "detection", CLASSIFIER: "classification", SEGMENTER: "segmentation"}


_started: list[ModelHost] = []


def started(config: dict[str, Any]) -> ModelHost:
    """A host that is closed after the test."""
    _started.append(ModelHost(config))
    return _started[-1]


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is logged of Triton servers."""
    lines: list[str] = []

    def add(event: str, **fields: Any) -> None:
        lines.append(f"{event} {fields}")

    recorder = SimpleNamespace(info=add, warning=add, error=add)
    monkeypatch.setattr("services.deployments.triton.remote_model.log", recorder)
    return lines


@pytest.fixture(autouse=True)
def closed_hosts() -> Iterator[None]:
    yield
    while _started:
        _started.pop().close()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A model repository of three small models for the python backend, which are in the catalog too."""
    catalog, folder = tmp_path_factory.mktemp("catalog"), tmp_path_factory.mktemp("repository")
    write_detector(catalog, DETECTOR)
    write_classifier(catalog, CLASSIFIER)
    write_segmenter(catalog, "unet", SEGMENTER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("services.deployments.host.configure_logging", lambda _: None)  # it is for the whole process
        patch.setenv("TAPETUM_CATALOG", str(catalog))
        read_settings.cache_clear()
        for name in TASKS:
            export_model(name, folder, RepositoryOptions("python", max_batch_size=8))
        yield folder
    read_settings.cache_clear()


@pytest.fixture(scope="module")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    with triton_server(repository, tmp_path_factory.mktemp("log") / "log") as running:
        yield running


def config(name: str, url: str | None = None, **options: Any) -> dict[str, Any]:
    """A deployment of one model: at the Triton server of the URL, or here."""
    document = {"name": f"D-{name}", "task": TASKS[name], "models": [name], "num_threads": 1}
    if url is None:
        return {**document, "precision": "fp32"}
    triton = {"url": url, "health_interval_s": 0.1, "max_pause_s": 0.5, **options.pop("triton", {})}
    return {**document, "backend": "triton", "triton": triton, "num_device_threads": 4, **options}


def item(name: str, image: bytes | None = None) -> Item:
    return Item(name, image or photo(SIZE), PARAMETERS[name], time.time() + 60)


def assert_alike(one: Any, other: Any) -> None:
    """Equal, numbers up to a thousandth."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_alike(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            assert_alike(left, right)
    else:
        assert one == (pytest.approx(other, abs=1e-3) if isinstance(one, float) else other)


def wait_for(condition: Callable[[], Any], within_s: float = 20.0) -> None:
    ends_at = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < ends_at, "it did not happen in time"
        time.sleep(0.02)


@pytest.mark.parametrize("name", TASKS)
async def test_answers_are_those_of_the_local_adapter(server: TritonServer, name: str):
    remote, local = started(config(name, server.url)), started(config(name))
    sizes = [(100, 70), (70, 100), (64, 64), (100, 70), (300, 200)]
    items = [item(name, photo(size)) for size in sizes]
    found, expected = await remote.predict(items), await local.predict(items)
    for one, other in zip(found, expected, strict=True):
        assert answer_of(one)["predictions"]
        assert_alike(answer_of(one), answer_of(other))
    (described,), (here,) = remote.describe(), local.describe()
    assert described["identity"] != here["identity"], "an answer is cached and credited by who computed it"
    assert described["runtime"]["backend"] == "triton"
    assert described["weights_digest"] == here["weights_digest"]


async def test_batches_are_in_flight_at_once(repository: Path, tmp_path: Path):
    """Instances take a second for each batch and note when they began: the next ones begin meanwhile."""
    noted = tmp_path / "begun"
    noted.mkdir()
    note = f"import time; t = time.monotonic(); open(f'{noted}/{{t}}', 'w').close(); time.sleep(1)"
    place = copied(repository, tmp_path, CLASSIFIER, note)
    text = place.read_text().replace("count: 1", "count: 4").replace("max_batch_size: 8", "max_batch_size: 1")
    place.write_text(text.replace("dynamic_batching { }", ""))
    with triton_server(tmp_path / "copies", tmp_path / "log") as slow:
        host = started(config(CLASSIFIER, slow.url, max_batch_size=1))
        for path in noted.iterdir():
            path.unlink()
        outcomes = await host.predict([item(CLASSIFIER) for _ in range(4)])
    assert all(outcome.failure is None for outcome in outcomes)
    begun = sorted(float(path.name) for path in noted.iterdir())
    assert len(begun) == 4
    assert any(later - earlier < 1 for earlier, later in pairwise(begun))


async def test_image_that_triton_fails_on_fails_alone(repository: Path, tmp_path: Path):
    whites = "(i.as_numpy().min((1, 2, 3)) == 255 for request in requests for i in request.inputs())"
    copied(repository, tmp_path, CLASSIFIER, f"assert not any(map(any, {whites})), 'a white image'")
    with triton_server(tmp_path / "copies", tmp_path / "log") as fragile:
        host = started(config(CLASSIFIER, fragile.url, num_device_threads=1))
        white = io.BytesIO()
        Image.new("RGB", (64, 64), "white").save(white, "PNG")
        images = [photo(SIZE), white.getvalue(), photo(SIZE), photo(SIZE)]
        outcomes = await host.predict([item(CLASSIFIER, image) for image in images])
        codes = [outcome.failure and outcome.failure.code for outcome in outcomes]
        assert codes == [None, "internal_error", None, None]
        assert len(host.describe()) == 1, "the model stays ready"


async def test_server_that_is_too_slow_is_skipped_until_it_is_not(repository: Path, tmp_path: Path):
    marker = tmp_path / "slow"
    copied(repository, tmp_path, CLASSIFIER, f"import os, time; time.sleep(2 * os.path.exists({str(marker)!r}))")
    with triton_server(tmp_path / "copies", tmp_path / "log") as slow:
        host = started(config(CLASSIFIER, slow.url, triton={"timeout_s": 0.5}))
        marker.touch()
        (late,) = await host.predict([item(CLASSIFIER)])
        (refused,) = await host.predict([item(CLASSIFIER)])
        assert late.failure is not None and refused.failure is not None
        assert late.failure.status == 503
        assert late.failure.code in ("backend_failed", "not_ready"), "the latter where its health check was earlier"
        assert (refused.failure.status, refused.failure.code) == (503, "not_ready")
        assert host.describe() == []
        marker.unlink()
        wait_for(host.describe)
        answer_of((await host.predict([item(CLASSIFIER)]))[0])


def test_model_of_another_kind_at_the_server_is_not_ready(server: TritonServer, logged: list[str]):
    wrong = {"models": [{"name": DETECTOR, "server_model": CLASSIFIER, "server_version": "1"}]}
    host = started(config(DETECTOR, server.url, **wrong))
    (outcome,) = asyncio.run(host.predict([item(DETECTOR)]))
    assert host.describe() == []
    assert outcome.failure is not None
    assert outcome.failure.message == f"the Triton server of {DETECTOR} has another model"
    assert "its outputs have shapes" in logged[0]


def test_model_with_other_weights_at_the_server_is_not_ready(
    server: TritonServer, tmp_path: Path, logged: list[str], monkeypatch: pytest.MonkeyPatch
):
    seed = torch.manual_seed
    with monkeypatch.context() as patch:
        patch.setattr(torch, "manual_seed", lambda _: seed(6))
        write_classifier(tmp_path, CLASSIFIER)
    monkeypatch.setenv("TAPETUM_CATALOG", str(tmp_path))
    assert started(config(CLASSIFIER, server.url)).describe() == []
    assert "an output differs by" in logged[0]


def test_model_that_the_server_does_not_have_is_not_ready(server: TritonServer):
    host = started(config(DETECTOR, server.url, models=[{"name": DETECTOR, "server_version": "8"}]))
    assert host.describe() == []


def test_network_that_takes_normalised_float_images_is_served_too(repository: Path, tmp_path: Path):
    """As other exporters write them: the input is FP32 (N, 3, H, W)."""
    folder = tmp_path / "copies" / "theirs"
    shutil.copytree(repository / CLASSIFIER, folder)
    text = (folder / "config.pbtxt").read_text().replace(CLASSIFIER, "theirs").split("model_warmup")[0]
    text = text.replace('"pixels" data_type: TYPE_UINT8', '"images" data_type: TYPE_FP32')
    text = text.replace("[64, 64, 3]", "[3, 64, 64]")
    (folder / "config.pbtxt").write_text(text)
    model = folder / "1" / "model.py"
    code = model.read_text().replace(
        "pb_utils.get_input_tensor_by_name(request, self.input_name).as_numpy()",
        "(pb_utils.get_input_tensor_by_name(request, 'images').as_numpy() * 128 + 127).round().astype('uint8')"
        ".transpose(0, 2, 3, 1)",
    )
    model.write_text(code)
    with triton_server(tmp_path / "copies", tmp_path / "log") as theirs:
        models = [{"name": CLASSIFIER, "server_model": "theirs", "server_version": "1"}]
        host = started(config(CLASSIFIER, theirs.url, models=models))
        found, expected = (asyncio.run(one.predict([item(CLASSIFIER)])) for one in (host, started(config(CLASSIFIER))))
        assert_alike(answer_of(found[0]), answer_of(expected[0]))


def test_server_is_verified_by_its_certificate(repository: Path, tmp_path: Path):
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    making = f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {certificate} -subj /CN=localhost"
    subprocess.run([*making.split(), "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    files = f"--grpc-server-cert={certificate}", f"--grpc-server-key={key}", f"--grpc-root-cert={certificate}"
    with triton_server(repository, tmp_path / "log", ["--grpc-use-ssl=1", *files]) as server:
        trusting = {"ssl": True, "root_certificates": str(certificate)}
        ready = [
            len(started(config(CLASSIFIER, server.url, triton=options)).describe())
            for options in (trusting, {"ssl": True}, {"ssl": False})
        ]
    assert ready == [1, 0, 0]


def copied(repository: Path, folder: Path, name: str, statement: str) -> Path:
    """A repository of one model that runs a statement first; returns the path of its configuration."""
    place = folder / "copies" / name
    shutil.copytree(repository / name, place)
    (model,) = place.rglob("model.py")
    lines = model.read_text().splitlines()
    at = next(n for n, line in enumerate(lines) if "def execute(" in line) + 1
    model.write_text("\n".join([*lines[: at + 1], f"        {statement}", *lines[at + 1 :]]))
    return place / "config.pbtxt"


def test_triton_that_is_killed_under_load_makes_its_model_not_ready_and_nothing_else(repository: Path, tmp_path: Path):
    server = triton_server(repository, tmp_path / "log")
    documents = [config(DETECTOR, server.url, triton={"timeout_s": 2.0}), config(CLASSIFIER)]
    with server, hosted_gateway(documents) as gateway, ThreadPoolExecutor(4) as pool:
        url = gateway.url
        load = Load(url)
        callers = [pool.submit(load.run, path) for path in ("detect", "classify", "detect", "classify")]
        wait_for(lambda: load.seen["detect", "ok"] >= 10 and load.seen["classify", "ok"] >= 10)
        assert readiness(url) == (200, {DETECTOR: True, CLASSIFIER: True})
        server.kill()
        wait_for(lambda: load.seen["detect", "not_ready"] >= 10)
        classified = load.seen["classify", "ok"]
        wait_for(lambda: load.seen["classify", "ok"] >= classified + 20)
        wait_for(lambda: readiness(url) == (503, {DETECTOR: False, CLASSIFIER: True}))
        refusal = httpx.post(f"{url}/v1/detect", content=photo(SIZE))
        assert refusal.json()["error"]["message"] == f"the Triton server of {DETECTOR} does not answer"
        assert (refusal.status_code, refusal.headers["retry-after"]) == (503, "2")
        server.start()
        wait_for(lambda: readiness(url) == (200, {DETECTOR: True, CLASSIFIER: True}))
        answered = load.seen["detect", "ok"]
        wait_for(lambda: load.seen["detect", "ok"] >= answered + 10)
        load.ended = True
        for caller in callers:
            caller.result(30)
    outcomes = set(load.seen)
    assert {outcome for path, outcome in outcomes if path == "classify"} == {"ok"}
    assert {outcome for path, outcome in outcomes if path == "detect"} <= {"ok", "not_ready", "backend_failed"}


def test_replica_starts_without_its_server_and_answers_once_it_is_there(repository: Path, tmp_path: Path):
    server = triton_server(repository, tmp_path / "log")
    with hosted_gateway([config(DETECTOR, server.url), config(CLASSIFIER)]) as gateway:
        url = gateway.url
        assert readiness(url) == (503, {DETECTOR: False, CLASSIFIER: True})
        assert httpx.post(f"{url}/v1/classify", content=photo(SIZE)).status_code == 200
        refusal = httpx.post(f"{url}/v1/detect", content=photo(SIZE))
        assert (refusal.status_code, refusal.json()["error"]["code"]) == (503, "not_ready")
        with server:
            wait_for(lambda: httpx.post(f"{url}/v1/detect", content=photo(SIZE)).status_code == 200)


class Load:
    """Sends images one after the other, and counts what became of them."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.seen: Counter[tuple[str, str]] = Counter()
        self.ended = False

    def run(self, path: str) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self.ended:
                response = client.post(f"/v1/{path}", content=photo(SIZE), headers={"cache-control": "no-store"})
                outcome = "ok" if response.status_code == 200 else response.json()["error"]["code"]
                assert response.status_code in (200, 503)
                self.seen[path, outcome] += 1


def readiness(url: str) -> tuple[int, dict[str, bool]]:
    response = httpx.get(f"{url}/readyz")
    return response.status_code, response.json()["models"]

"""A real Prometheus scrapes a real stack, and gets an answer to every query of every dashboard and alert."""

from __future__ import annotations

import io
import math
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
import yaml
from PIL import Image
from running import RunningStack, free_port, running_stack, write_config
from skimage import data

from deploy.grafana.dashboards import DASHBOARDS
from deploy.grafana.picture import Span, draw
from deploy.grafana.readings import Prometheus
from services.accuracy.drift import Distribution
from services.accuracy.store import RecordedRun, record_run
from services.settings import Settings
from tests.checkout import ROOT
from tests.debian import need_programs
from tests.unit.promql import Selector, rules, selectors

PROMETHEUS = ROOT / "deploy" / "prometheus"
PANELS = [(board.name, panel) for board in DASHBOARDS for panels in board.rows.values() for panel in panels]
ALERTS = rules("alert")
IMAGES = 110
"""A few more than the 100 images from which drift is reported."""
CAT, DETECTOR = "efficientnet-lite0", "yolo-digits"


@pytest.fixture(scope="module", autouse=True)
def programs() -> None:
    need_programs(prometheus="prometheus", promtool="prometheus")


def promtool(*arguments: str, text: bytes = b"") -> str:
    done = subprocess.run(["promtool", *arguments], input=text, capture_output=True, check=False, timeout=250)
    output = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, output
    return output


def test_configuration_and_rules_are_valid():
    assert "FAILED" not in promtool("check", "config", str(PROMETHEUS / "prometheus.yml"))


@pytest.mark.parametrize("file", sorted((PROMETHEUS / "tests").glob("*.yml")), ids=lambda file: file.stem)
def test_alerts_fire_when_they_should(file: Path):
    assert "SUCCESS" in promtool("test", "rules", str(file))


def cats() -> list[bytes]:
    """Photos of one cat, each cut a little differently."""
    photo = Image.fromarray(data.chelsea())
    files = [io.BytesIO() for _ in range(IMAGES)]
    for number, file in enumerate(files):
        photo.crop((number % 11 * 5, number // 11 * 3, 400 + number % 11 * 4, 300)).save(file, "JPEG", quality=90)
    return [file.getvalue() for file in files]


def record_evaluation(url: str, file: Path) -> None:
    """Record an evaluation of the classifier that is served, as `tapetum evaluate` does, on the photos."""
    served = httpx.get(f"{url}/v1/models/{CAT}").json()
    answers = Distribution([0] * 9 + [IMAGES], {285: IMAGES}, IMAGES)  # all Egyptian cats, and sure of it
    run = RecordedRun(
        model=CAT,
        version=served["version"],
        weights_digest=served["weights_digest"],
        kind="classification",
        dataset="cats",
        dataset_digest="0123456789abcdef",
        through="gateway",
        images=IMAGES,
        finished_at_s=time.time() - 3600,
        figures={"top1": (0.9, 0.83, 0.95)},
        protocol={},
        reference=answers.to_dict(),
    )
    record_run(run, Settings(accuracy_file=file))


def ask_a_little(stack: RunningStack) -> None:
    """New images, one image again, a list with a broken one, and what somebody says of two answers."""
    scene = io.BytesIO()
    Image.fromarray(data.coins()).convert("RGB").resize((320, 320)).save(scene, "JPEG")
    photos, jpeg = cats(), {"content-type": "image/jpeg"}
    with httpx.Client(base_url=stack.url, timeout=60) as client:

        def tell(answer: httpx.Response, target: dict[str, Any]) -> int:
            told = {"request_id": answer.json()["request_id"], "target": target}
            return client.post("/v1/feedback", json=told).status_code

        answers = [client.post("/v1/classify", content=photo, headers=jpeg) for photo in photos]
        assert client.post("/v1/classify", content=photos[0], headers=jpeg).json()["cached"]
        files = [("image", photos[1]), ("image", b"no image")]
        assert client.post("/v1/classify", files=files).status_code == 200
        assert tell(answers[-1], {"class": "Egyptian cat"}) == 200
        found = client.post("/v1/detect", content=scene.getvalue(), headers=jpeg, params={"score_threshold": 0.01})
        box = {"x_min": 10, "y_min": 10, "x_max": 60, "y_max": 60}
        assert tell(found, {"objects": [{"class": "3", "box": box}]}) == 200


@contextmanager
def running_prometheus(stack: RunningStack, folder: Path) -> Iterator[str]:
    """Debian's Prometheus with the shipped configuration, pointed at a stack and in more of a hurry."""
    configuration: dict[str, Any] = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    configuration["global"] = {"scrape_interval": "5s", "scrape_timeout": "5s", "evaluation_interval": "5s"}
    configuration["rule_files"] = [str(PROMETHEUS / name) for name in configuration["rule_files"]]
    job = configuration["scrape_configs"][0]
    del job["dns_sd_configs"]
    job["static_configs"] = [{"targets": [stack.url.removeprefix("http://")]}]
    configuration["scrape_configs"] = [job]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    address = f"127.0.0.1:{free_port()}"
    options = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address={address}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["prometheus", *options], cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    try:
        eventually(lambda: is_ready(f"http://{address}"))
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(30)


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready").status_code == 200
    except httpx.TransportError:
        return False


def eventually(condition: Callable[[], bool], within_s: float = 60.0) -> None:
    give_up_at = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.2)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack whose classifier has been evaluated."""
    folder = tmp_path_factory.mktemp("stack")
    environment = {"TAPETUM_ACCURACY_FILE": str(folder / "accuracy.jsonl")}
    config = write_config(folder, models=(CAT,), detectors=(DETECTOR,))
    with running_stack(config, **environment) as made:
        record_evaluation(made.url, Path(environment["TAPETUM_ACCURACY_FILE"]))
        yield made


@pytest.fixture(scope="module")
def url(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus that has seen a little traffic, and what the gateway tells of accuracy afterwards."""
    with running_prometheus(stack, tmp_path_factory.mktemp("prometheus")) as made:
        reader = Prometheus(made)
        eventually(lambda: bool(reader.now("tapetum_model_ready")))
        ask_a_little(stack)
        eventually(lambda: bool(reader.now("tapetum_model_drift") and reader.now("tapetum_live_accuracy")))
        eventually(lambda: bool(reader.now("task:tapetum_slow_requests:ratio_rate3d")))
        yield made


def has_data(reader: Prometheus, expr: str) -> bool:
    return any(math.isfinite(float(sample["value"][1])) for sample in reader.now(expr))


@pytest.mark.parametrize(
    "panel", [panel for _, panel in PANELS], ids=[f"{name}: {panel.title}" for name, panel in PANELS]
)
def test_every_query_of_a_panel_returns_data(url: str, panel: Any):
    reader = Prometheus(url)
    for query in panel.queries:
        eventually(lambda query=query: has_data(reader, query.filled("5m")), 30)


def without_outcome(selector: Selector) -> str:
    """A selector without the outcome, for outcomes that are failures have no series until something fails."""
    matchers = (f'{label}{operator}"{text}"' for label, operator, text in selector.matchers if label != "outcome")
    return f"{selector.metric}{{{','.join(matchers)}}}"


UNKNOWN_UNTIL_THEN = ("task:tapetum_request_failures:increase",)
"""Series that are recorded only once a request has failed."""


@pytest.mark.parametrize("name", ALERTS)
def test_every_series_of_an_alert_exists_and_none_fires_when_all_is_well(url: str, name: str):
    reader = Prometheus(url)
    for selector in selectors(ALERTS[name]["expr"]):
        if not selector.metric.startswith(UNKNOWN_UNTIL_THEN):
            eventually(lambda selector=selector: has_data(reader, without_outcome(selector)), 30)
    groups = httpx.get(f"{url}/api/v1/rules").json()["data"]["groups"]
    (rule,) = (rule for group in groups for rule in group["rules"] if rule["name"] == name)
    assert rule["health"] == "ok"
    assert rule["state"] != "firing"  # on a machine that is busy otherwise some requests are slow, for a moment


def test_figures_are_those_of_the_traffic(url: str):
    reader = Prometheus(url)
    (ready,) = reader.now(f'sum(tapetum_model_ready{{model="{CAT}"}})')
    replicas = {sample["metric"]["deployment"]: sample["value"][1] for sample in reader.now("tapetum_replicas")}
    (hits,) = reader.now('sum(tapetum_cache_requests_total{outcome="hit"})')
    (top1,) = reader.now(f'max(tapetum_live_accuracy{{model="{CAT}",metric="top1"}})')
    started = {float(sample["value"][1]) for sample in reader.now("tapetum_replica_start_time_seconds")}
    assert (ready["value"][1], hits["value"][1]) == ("1", "2")
    assert replicas == {"Gateway": "1", "Classifier": "1", "Detector": "1"}
    assert top1["value"][1] in {"0", "1"}
    assert len(started) == 3
    assert all(time.time() - 600 < at < time.time() for at in started)


def test_scrape_is_as_the_linter_of_prometheus_wants_it(stack: RunningStack):
    lines = httpx.get(f"{stack.url}/metrics").content.splitlines(keepends=True)
    assert promtool("check", "metrics", text=b"".join(line for line in lines if b"tapetum_" in line)) == ""


@pytest.mark.parametrize("board", DASHBOARDS, ids=lambda board: board.name)
def test_picture_has_every_panel_with_data(url: str, board: Any):
    span = Span(time.time() - 60, time.time(), "5m")
    words = [part.text for part in ElementTree.fromstring(draw(board, Prometheus(url), span)).iter() if part.text]
    assert {panel.title for panels in board.rows.values() for panel in panels} <= set(words)
    assert "no data" not in words

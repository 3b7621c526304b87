"""Locust users of the three tasks, with the mix of requests that a service gets.

    locust -f loadtests/locustfile.py --headless --users 10 --spawn-rate 5 --run-time 60s --host http://127.0.0.1:8000
    locust -f loadtests/locustfile.py --host http://127.0.0.1:8000      # with its page, http://127.0.0.1:8089

Most images repeat, a few of them most often, as pictures that go round do: those are cache hits. The others are new.
Some requests carry several images, some want the answer drawn, some are bad and must get their own 4xx, and some
answers get feedback. All images are made up (`loadtests.scenes`). The exit status is 1 where a bound of
`loadtests/thresholds.yaml` is broken (`--thresholds FILE` for another). `TAPETUM_API_KEY` is sent where it is set.

Locust is a closed loop: a user waits for an answer before the next request. For latency at a given rate, see
`loadtests.open_loop`.
"""

from __future__ import annotations

import base64
import io
import os
import random
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import gevent
import orjson
from locust import FastHttpUser, between, events, tag, task
from locust.env import Environment
from locust.runners import WorkerRunner
from PIL import Image

from loadtests.photos import STAMP_BYTES, split_for_stamp
from loadtests.scenes import scene
from loadtests.thresholds import Seen, ThresholdsError, broken, read_thresholds

SIZES: Final = ((240, 320), (480, 640), (600, 800), (960, 1280))
"""(height, width); small ones twice as often as large ones."""

POOL: Final = 24
SEVERAL: Final = 3
BAD_MODEL: Final = "no-such-model"

_formats = [*["image/jpeg"] * 4, "image/png", "image/webp"]
IMAGES: Final = [
    (scene(SIZES[number % 3 if number % 2 else number % 4], number, kind), kind)
    for number, kind in ((number, _formats[number % len(_formats)]) for number in range(POOL))
]
"""The images that repeat, with their content types."""

WEIGHTS: Final = [1 / (rank + 1) for rank in range(POOL)]
"""Zipf's law, as measured for what the web asks for (Breslau et al. 1999)."""

NEW: Final = [split_for_stamp(scene(size, POOL + number)) for number, size in enumerate(SIZES)]


def new_image() -> bytes:
    """A JPEG that no cache has."""
    before, after = random.choice(NEW)
    return before + os.urandom(STAMP_BYTES) + after


def repeated_image() -> tuple[bytes, str]:
    """An image that repeats, and its content type."""
    return random.choices(IMAGES, WEIGHTS)[0]


def _unsupported() -> bytes:
    """An image in a format that is not read."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PCX")
    return file.getvalue()


BAD: Final = (
    ("", b"", 400),
    ("", NEW[0][0] + bytes(STAMP_BYTES) + NEW[0][1][:200], 400),
    ("", b"this is a text", 415),
    ("", _unsupported(), 415),
    (f"?model={BAD_MODEL}", new_image(), 404),
    ("?sizes=1", new_image(), 422),
)
"""(query, body, status that it must get)."""


class VisionUser(FastHttpUser):
    """A user of one task."""

    abstract = True
    wait_time = between(0.05, 0.4)  # pyright: ignore[reportAssignmentType]
    connection_timeout = network_timeout = 60.0
    api: str

    def on_start(self) -> None:
        """Learn which kind of ground truth the models take."""
        self.headers = {"Authorization": f"Bearer {key}"} if (key := os.environ.get("TAPETUM_API_KEY")) else {}
        with self.client.get("/v1/models", headers=self.headers, name="models", catch_response=True) as response:
            models: list[dict[str, Any]] = orjson.loads(response.content)["models"] if response.ok else []
        self.semantic = {model["name"] for model in models if model.get("segmentation") == "semantic"}

    @task(10)
    def repeated(self) -> None:
        """An image that the cache may have."""
        body, kind = repeated_image()
        self._ask("repeated", body, kind)

    @task(4)
    def new(self) -> None:
        """An image that it cannot have."""
        self._ask("new", new_image())

    @task(1)
    def several(self) -> None:
        """A list of images, some new and some not."""
        images = [new_image(), *(repeated_image()[0] for _ in range(SEVERAL - 1))]
        body = orjson.dumps({"images": [{"base64": base64.b64encode(image).decode()} for image in images]})
        answer = self._ask("several", body, "application/json")
        if answer is not None and len(answer["results"]) != SEVERAL:
            raise ValueError(f"{len(answer['results'])} results for {SEVERAL} images")

    @task(1)
    def drawn(self) -> None:
        """The answer, drawn on the image."""
        body, kind = repeated_image()
        self._ask("drawn", body, kind, "?render=true")

    @task(1)
    def bad(self) -> None:
        """A request that must be refused."""
        query, body, status = random.choice(BAD)
        self._ask("bad", body, query=query, status=status)

    @tag("feedback")
    @task(1)
    def feedback(self) -> None:
        """An answer, and ground truth for it: what was answered."""
        body, kind = repeated_image()
        answer = self._ask("repeated", body, kind)
        if answer is None:
            return
        told = {"request_id": answer["request_id"], "target": self.target(answer)}
        self._post("/v1/feedback", "feedback", orjson.dumps(told), "application/json", 200)

    def target(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """Ground truth by which an answer is right."""
        found = answer["predictions"]
        if answer["model"] in self.semantic:
            return {"masks": [{"class": one["class_name"], "mask": one["mask"]} for one in found]}
        return {"objects": [{"class": one["class_name"], "box": one["box"]} for one in found]}

    def _ask(
        self, name: str, body: bytes, kind: str = "image/jpeg", query: str = "", status: int = 200
    ) -> dict[str, Any] | None:
        return self._post(f"/v1/{self.api}{query}", name, body, kind, status)

    def _post(self, path: str, name: str, body: bytes, kind: str, status: int) -> dict[str, Any] | None:
        """Send a request; its answer, or None where it is an error, wanted or not, or a picture."""
        headers = {**self.headers, "Content-Type": kind}
        with self.client.post(
            path,
            data=body,  # pyright: ignore[reportArgumentType]
            headers=headers,
            name=f"{self.api} {name}",
            catch_response=True,
        ) as response:
            if response.status_code != status:
                text = (response.text or "")[:300] if response.status_code else "no response"
                response.failure(f"status {response.status_code}, not {status}: {text}")
                return None
            response.success()
            content = response.content or b""
            return orjson.loads(content) if status == 200 and content.startswith(b"{") else None


class ClassifyUser(VisionUser):
    """Wants to know what is in an image."""

    weight = 3
    api = "classify"

    def target(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """See `VisionUser.target`."""
        return {"class": answer["predictions"][0]["class_name"]}


class DetectUser(VisionUser):
    """Wants to know where it is."""

    weight = 2
    api = "detect"


class SegmentUser(VisionUser):
    """Wants to know which pixels it has."""

    weight = 1
    api = "segment"


@events.init_command_line_parser.add_listener
def add_options(parser: ArgumentParser, **_: Any) -> None:
    """The option that names the thresholds."""
    parser.add_argument(
        "--thresholds",
        env_var="LOCUST_THRESHOLDS",  # pyright: ignore[reportCallIssue]
        default=str(Path(__file__).with_name("thresholds.yaml")),
        help="YAML file of bounds; one that is broken makes the exit status 1.",
    )


@events.init.add_listener
def read_bounds(environment: Environment, **_: Any) -> None:
    """Read the thresholds before anything is sent, so that a misspelt one does not cost a run."""
    assert environment.parsed_options is not None
    gevent.get_hub().loop.update_now()  # or `--run-time` would count from before the images were made
    try:
        thresholds = read_thresholds(Path(environment.parsed_options.thresholds))
    except ThresholdsError as error:
        raise SystemExit(f"error: {error}") from None

    def judge(environment: Environment, **_: Any) -> None:
        if isinstance(environment.runner, WorkerRunner):
            return
        lines = broken(thresholds, seen_in(environment))
        for line in lines:
            print(f"threshold: {line}")
        print(f"{len(lines)} thresholds broken" if lines else "all thresholds kept")
        environment.process_exit_code = 1 if lines else 0

    environment.events.quitting.add_listener(judge)


def seen_in(environment: Environment) -> dict[tuple[str, str], Seen]:
    """What a run saw, by (task, kind)."""
    found: dict[tuple[str, str], Seen] = {}
    for entry in environment.stats.entries.values():
        api, _, kind = entry.name.partition(" ")
        p95_ms = float(entry.get_response_time_percentile(0.95) or 0.0)
        found[api, kind] = Seen(entry.num_requests, entry.num_failures, p95_ms)
    return found

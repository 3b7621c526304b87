"""The whole stack, as a user starts it: real Ray, real HAProxy, real cache, real weights."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import random
import re
import signal
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import psutil
import pytest
from conftest import jpeg_of
from PIL import Image
from running import (
    RunningStack,
    alive,
    free_port,
    listening_beyond_loopback,
    running_stack,
    write_config,
)
from skimage import data

from tests.checkout import ROOT

pytestmark = pytest.mark.integration


def classify(stack: RunningStack, image: bytes, *, timeout: float = 60.0, **params: Any) -> httpx.Response:
    headers = {"content-type": "image/jpeg", "cache-control": "no-store"}
    return httpx.post(f"{stack.url}/v1/classify", content=image, params=params, headers=headers, timeout=timeout)


def eventually(condition: Callable[[], bool], within_s: float = 15.0) -> bool:
    """Whether a condition comes true before the time is over."""
    give_up_at = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > give_up_at:
            return False
        time.sleep(0.1)
    return True


def test_photos_get_their_real_classes(stack: RunningStack, photos: dict[str, bytes]):
    expected = {
        "chelsea": {"Egyptian cat", "tiger cat", "tabby"},
        "coffee": {"espresso", "cup", "coffee mug"},
        "rocket": {"missile", "projectile", "space shuttle"},
    }
    for name, classes in expected.items():
        answer = classify(stack, photos[name], top_k=2).json()
        assert {prediction["class_name"] for prediction in answer["predictions"]} <= classes, name


def test_readme_shows_the_answer_that_its_command_gets(stack: RunningStack):
    shown = re.search(r"```json\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert shown
    expected = orjson.loads(shown[1])
    answer = classify(stack, (ROOT / "docs" / "images" / "coffee.jpg").read_bytes(), top_k=3).json()
    assert answer.keys() == expected.keys()
    assert {**answer, "predictions": 0, "request_id": 0} == {**expected, "predictions": 0, "request_id": 0}
    for got, wanted in zip(answer["predictions"], expected["predictions"], strict=True):
        assert got["class_name"] == wanted["class_name"]
        assert got["probability"] == pytest.approx(wanted["probability"], abs=0.05)


def test_mixed_concurrent_callers_always_get_their_own_answer(stack: RunningStack):
    """Every image has a size of its own, and so must its answer; models, counts and caching are mixed at random."""
    chance = random.Random(7)
    cases = []
    for n in range(300):
        size = (64 + n, 400 - n)
        case = {
            "image": jpeg_of(data.astronaut(), size),
            "size": {"height": size[1], "width": size[0]},
            "model": chance.choice(["efficientnet-lite0", "noop"]),
            "top_k": chance.randint(1, 9),
            "headers": {"content-type": "image/jpeg", "cache-control": chance.choice(["", "no-store", "no-cache"])},
        }
        cases += [case] * chance.choice([1, 1, 2])
    chance.shuffle(cases)

    async def ask(client: httpx.AsyncClient, case: dict[str, Any]) -> None:
        params = {"model": case["model"], "top_k": case["top_k"]}
        response = await client.post("/v1/classify", content=case["image"], params=params, headers=case["headers"])
        answer = response.json()
        assert response.status_code == 200, answer
        assert answer["image"] == case["size"]
        assert answer["model"] == case["model"]
        assert len(answer["predictions"]) == case["top_k"]

    async def main() -> None:
        limits = httpx.Limits(max_connections=32)
        async with httpx.AsyncClient(base_url=stack.url, limits=limits, timeout=60) as client:
            await asyncio.gather(*(ask(client, case) for case in cases))

    asyncio.run(main())


def test_cached_answer_makes_no_call(stack: RunningStack, photos: dict[str, bytes]):
    headers = {"content-type": "image/jpeg"}
    url = f"{stack.url}/v1/classify?top_k=7"
    first = httpx.post(url, content=photos["coffee"], headers=headers).json()
    time.sleep(0.2)
    calls = stack.metric("tapetum_call_images_count")
    second = httpx.post(url, content=photos["coffee"], headers=headers)
    assert (first["cached"], second.json()["cached"]) == (False, True)
    assert first["predictions"] == second.json()["predictions"]
    assert stack.metric("tapetum_call_images_count") == calls
    assert "forward" not in second.headers["server-timing"]


def test_image_of_many_megabytes_is_answered(stack: RunningStack):
    noise = np.random.default_rng(3).integers(0, 256, (1400, 1900, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    assert file.tell() > 6 * 2**20
    response = classify(stack, file.getvalue())
    assert response.status_code == 200, response.text
    assert response.json()["image"] == {"height": 1400, "width": 1900}


def test_request_id_is_echoed_once(stack: RunningStack, photos: dict[str, bytes]):
    headers = {"content-type": "image/jpeg", "x-request-id": "trace-me"}
    response = httpx.post(f"{stack.url}/v1/classify", content=photos["coffee"], headers=headers)
    assert response.headers.get_list("x-request-id") == ["trace-me"]
    assert response.json()["request_id"] == "trace-me"
    assert eventually(lambda: any('"request_id":"trace-me"' in line for line in stack.lines)), "lines linger for 50 ms"


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_bomb(height: int, width: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 10_000)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")


def bad_inputs(photo: bytes) -> dict[str, tuple[bytes, set[int]]]:
    return {
        "empty": (b"", {400}),
        "one byte": (b"\xff", {415}),
        "words": (b"this is not an image", {415}),
        "html": (b"<!DOCTYPE html><html></html>", {415}),
        "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", {415}),
        "pdf": (b"%PDF-1.7\n" + photo, {415}),
        "zip": (b"PK\x03\x04" + photo, {415}),
        "gzip": (gzip.compress(photo), {415}),
        "html before jpeg": (b"<html>" + photo, {415}),
        "half a jpeg": (photo[: len(photo) // 2], {400}),
        "jpeg header only": (photo[:200], {400, 415}),
        "noise in a jpeg header": (photo[:4] + bytes(400) + photo[404:], {400, 415}),
        "gif polyglot": (b"GIF89a/*\xff\xff*/=1;alert(1)", {400, 413, 415}),
        "png bomb": (png_bomb(60_000, 60_000), {413}),
        "png with too few pixels": (png_bomb(1000, 1000), {400}),
        "png that claims nothing": (png_bomb(0, 0), {400, 415}),
        "zeros": (bytes(10_000), {415}),
        "ones": (b"\xff" * 10_000, {400, 415}),
    }


def test_bad_input_gets_a_clear_error_and_harms_nobody_else(stack: RunningStack, photos: dict[str, bytes]):
    for name, (image, statuses) in bad_inputs(photos["rocket"]).items():
        response = classify(stack, image)
        assert response.status_code in statuses, (name, response.text)
        error = response.json()["error"]
        assert error["code"] and error["message"], name
        assert "Traceback" not in response.text, name
    images = [photos["chelsea"], *(image for image, _ in bad_inputs(photos["rocket"]).values()), photos["chelsea"]]
    document = {"images": [{"base64": base64.b64encode(image).decode()} for image in images]}
    response = httpx.post(f"{stack.url}/v1/classify", json=document, headers={"cache-control": "no-store"})
    results = response.json()["results"]
    assert ["error" in result for result in results] == [False, *[True] * (len(images) - 2), False]
    assert results[0]["predictions"] == results[-1]["predictions"]


def test_nothing_listens_beyond_loopback(stack: RunningStack):
    assert listening_beyond_loopback(stack.processes()) == []


def test_idle_stack_fits_in_memory(stack: RunningStack):
    total = sum(process.memory_full_info().pss for process in stack.processes() if process.status() != "zombie")
    assert total < 2.5e9, f"{total / 1e9:.2f} GB"


def test_port_in_use_is_said_in_one_line(stack: RunningStack, tmp_path: Path):
    second = RunningStack(write_config(tmp_path), int(stack.url.rpartition(":")[2]))
    assert second.wait(timeout_s=30) == 1
    assert len(second.lines) == 1
    assert "address already in use" in second.lines[0]


def test_replica_killed_under_load_loses_nothing(stack: RunningStack, photos: dict[str, bytes]):
    images_before = stack.metric("tapetum_images_total", model="noop")

    async def load(client: httpx.AsyncClient, until: float) -> list[int]:
        statuses = []
        while time.monotonic() < until:
            headers = {"content-type": "image/jpeg", "cache-control": "no-store"}
            response = await client.post("/v1/classify?model=noop", content=photos["coffee"], headers=headers)
            statuses.append(response.status_code)
        return statuses

    async def main() -> list[int]:
        async with httpx.AsyncClient(base_url=stack.url, timeout=60) as client:
            tasks = [asyncio.create_task(load(client, time.monotonic() + 3)) for _ in range(8)]
            await asyncio.sleep(1)
            stack.replica("Classifier").kill()
            return [status for statuses in await asyncio.gather(*tasks) for status in statuses]

    statuses = asyncio.run(main())
    assert set(statuses) == {200}
    assert len(statuses) > 50
    counted = stack.metric("tapetum_images_total", model="noop") - images_before
    assert len(statuses) <= counted <= len(statuses) + 64, "what the lost replica counted stays counted"
    assert eventually(lambda: stack.metric("tapetum_model_ready", model="noop") == 1)
    assert eventually(lambda: httpx.get(f"{stack.url}/readyz").json()["ready"])


def test_cache_killed_under_load_is_not_noticed_and_comes_back(stack: RunningStack, photos: dict[str, bytes]):
    def ask() -> httpx.Response:
        return httpx.post(
            f"{stack.url}/v1/classify?model=noop", content=photos["rocket"], headers={"content-type": "image/jpeg"}
        )

    def is_cached() -> bool:
        return ask().json()["cached"]

    assert any(is_cached() or time.sleep(0.05) for _ in range(100))
    server = next(process for process in stack.processes() if process.name() == "valkey-server")
    server.kill()
    assert [ask().status_code for _ in range(20)] == [200] * 20
    assert stack.metric("tapetum_cache_requests_total", outcome="error") > 0
    assert any(is_cached() or time.sleep(0.05) for _ in range(200)), "the stack has started another"


def test_gateway_killed_comes_back(stack: RunningStack, photos: dict[str, bytes]):
    stack.replica("Gateway").kill()
    give_up_at = time.monotonic() + 60
    while time.monotonic() < give_up_at:
        try:
            response = classify(stack, photos["coffee"], timeout=5)
        except httpx.TransportError:
            continue
        if response.status_code == 200:
            return
        assert response.status_code in (502, 503, 504), response.text
        assert orjson.loads(response.content)["error"]["code"]
        time.sleep(0.1)
    pytest.fail("the gateway did not come back")


def test_haproxy_killed_is_back_within_two_seconds_with_all_its_gateways(stack: RunningStack):
    for _ in range(2):
        killed = stack.haproxy()
        killed.kill()
        killed_at = time.monotonic()
        answers = poll(stack, until=lambda answer: answer == (200, ""), within_s=20)
        assert time.monotonic() - killed_at < 10, "2 s where the machine does nothing else"
        assert set(answers) <= {(0, "ConnectError"), (0, "ReadError"), (503, "not_ready"), (200, "")}, answers
        assert stack.haproxy().pid != killed.pid


def poll(
    stack: RunningStack, until: Callable[[tuple[int, str]], bool], within_s: float, method: str = "GET"
) -> list[tuple[int, str]]:
    """What `/v1/models` answers, every 50 ms: statuses and codes of errors; (0, name) where nothing answers."""
    answers: list[tuple[int, str]] = []
    give_up_at = time.monotonic() + within_s
    with httpx.Client(timeout=10) as client:
        while not answers or not until(answers[-1]):
            assert time.monotonic() < give_up_at, answers
            try:
                response = client.request(method, f"{stack.url}/v1/models", headers={"connection": "close"})
                code = "" if response.status_code == 200 else response.json()["error"]["code"]
                answers.append((response.status_code, code))
            except httpx.TransportError as error:
                answers.append((0, type(error).__name__))
            time.sleep(0.05)
    return answers


def test_second_stack_is_not_answered_for_by_the_first(stack: RunningStack, tmp_path: Path):
    """The first needs no key. The second does, has a long TMPDIR, a HOME that is not there, and proxies around it."""
    folder = tmp_path / (100 * "x")
    folder.mkdir()
    proxy = "http://127.0.0.1:9"
    hostile = {
        "TAPETUM_API_KEYS": "key",
        "TMPDIR": str(folder),
        "HOME": "/nonexistent",
        "http_proxy": proxy,
        "https_proxy": proxy,
        "grpc_proxy": proxy,
        "ALL_PROXY": "socks5://127.0.0.1:9",
    }
    with running_stack(write_config(tmp_path, models=("noop",)), **hostile) as second:
        assert httpx.get(f"{second.url}/v1/models").status_code == 401
        with httpx.Client(base_url=second.url.replace("127.0.0.1", "[::1]"), trust_env=False) as client:
            assert client.get("/readyz").json()["models"] == {"noop": True}
        for _ in range(2):
            second.replica("Gateway").kill()
            answers = poll(second, until=lambda answer: answer == (503, "not_ready"), within_s=20)
            answers += poll(second, until=lambda answer: answer == (401, "unauthorized"), within_s=60)
            cut_off = [answer for answer in answers if answer == (0, "RemoteProtocolError")]  # an answer in its middle
            known = {(401, "unauthorized"), (503, "not_ready"), (502, "backend_failed"), *cut_off[:1]}
            assert set(answers) <= known and len(cut_off) <= 1, answers
        direct = [f"http://127.0.0.1:{port}/v1/models" for port in gateway_ports(stack)]
        assert direct
        for url in direct:
            assert httpx.get(url).json()["error"]["code"] == "not_ready", "a gateway answers its own HAProxy only"
        family = second.processes()
        second.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        second.process.send_signal(signal.SIGTERM)
        assert second.wait(timeout_s=10) in (0, 128 + signal.SIGTERM), second.output
        assert alive(family) == []
    assert httpx.get(f"{stack.url}/v1/models").status_code == 200


def gateway_ports(stack: RunningStack) -> list[int]:
    """Where the gateways themselves listen."""
    connections = stack.replica("Gateway").net_connections(kind="tcp")
    return [
        connection.laddr.port
        for connection in connections
        if connection.status == psutil.CONN_LISTEN and 16_384 <= connection.laddr.port < 32_768
    ]


def test_documentation_is_served(stack: RunningStack):
    assert "swagger" in httpx.get(f"{stack.url}/docs").text.lower()
    assert "/v1/classify" in httpx.get(f"{stack.url}/openapi.json").json()["paths"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_drains_and_leaves_nothing_behind(tmp_path: Path, photos: dict[str, bytes], number: int):
    config = write_config(tmp_path, models=("noop",), segmenters=("unet-person",))
    with running_stack(config) as stack:
        family = stack.processes()
        run_dir = next(Path("/tmp").glob(f"tapetum-{stack.process.pid}-*"))

        async def main() -> list[int]:
            limits = httpx.Limits(max_connections=100)
            async with httpx.AsyncClient(base_url=stack.url, timeout=60, limits=limits) as client:
                headers = {"content-type": "image/jpeg", "cache-control": "no-store"}
                post = (client.post("/v1/segment", content=photos["coffee"], headers=headers) for _ in range(100))
                tasks = [asyncio.create_task(request) for request in post]
                while await asyncio.to_thread(stack.metric, "tapetum_requests_in_flight") < 60:
                    await asyncio.sleep(0.02)
                stack.process.send_signal(number)
                return [response.status_code for response in await asyncio.gather(*tasks)]

        statuses = asyncio.run(main())
        assert stack.wait() == 0
        assert statuses.count(200) >= 40, "what was in flight is answered"
        assert set(statuses) <= {200, 503}, "what came later is told to come back"
        assert alive(family) == []
        assert not run_dir.exists()
        assert stack.lines[-1] == "stopped"


def test_start_after_a_crash_works_and_cleans_up(tmp_path: Path, photos: dict[str, bytes]):
    config = write_config(tmp_path, models=("noop",))
    port = free_port()
    crashed = RunningStack(config, port)
    crashed.wait_until_ready()
    family = crashed.processes()
    crashed.stop(signal.SIGKILL)
    second = RunningStack(config, port)
    second.wait_until_ready()
    try:
        assert classify(second, photos["coffee"]).status_code == 200
        assert alive(family) == []
        assert not list(Path("/tmp").glob(f"tapetum-{crashed.process.pid}-*"))
    finally:
        family = second.processes()
        second.stop()
    assert alive(family) == []


def test_model_that_cannot_be_loaded_is_said_in_one_line(tmp_path: Path):
    hub = tmp_path / "torch" / "hub" / "checkpoints"
    hub.mkdir(parents=True)
    (hub / "squeezenet1_1-b8a52dc0.pth").write_bytes(b"not weights")
    config = write_config(tmp_path, models=("torchvision/squeezenet1_1",))
    stack = RunningStack(config, free_port(), TORCH_HOME=str(tmp_path / "torch"))
    assert stack.wait(timeout_s=120) == 1
    errors = [line for line in stack.lines if line.startswith("error:")]
    assert len(errors) == 1
    assert "torchvision/squeezenet1_1" in errors[0] and "squeezenet1_1-b8a52dc0.pth" in errors[0]

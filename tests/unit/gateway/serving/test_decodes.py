"""Models of one process share a decode of an image, at the finest scale that one of them needs."""

from __future__ import annotations

import asyncio
import pickle
import threading
import time
from typing import Any

import numpy as np
import pytest

from models.errors import BrokenImage
from models.imaging import shared_decoding
from models.imaging.decoding import decode, inspect, scale_factor
from models.imaging.shared_decoding import SharedDecoding
from services.answers.wire import Item
from services.gateway.serving.decodes import Decodes
from services.gateway.serving.model_calls import ModelCalls
from services.gateway.serving.predictor import PredictionRequest
from services.gateway.serving.queue_wait import QueueWait
from services.gateway.serving.served_model import ServedModel
from services.kinds.classification import ClassifyParameters
from services.settings import Settings
from tests.photos import encoded, photo

CAPS = {"max_bytes": 2**25, "max_pixels": 10**8}
JPEG = encoded(photo("astronaut").resize((2048, 1536)), "JPEG")
PNG = encoded(photo("astronaut").resize((64, 48)), "PNG")


class _Calls(ModelCalls):
    """Calls to a model that needs a short side in pixels; None: in another process."""

    def __init__(self, side: int | None) -> None:
        async def send(_: Item) -> Any: ...

        super().__init__(send, QueueWait(1), 1.0, None)  # type: ignore[arg-type]
        self._side = side

    def short_side_needed(self, name: str, parameters: dict[str, Any], image_size: tuple[int, int]) -> int | None:
        return self._side


def model(name: str, side: int | None) -> ServedModel:
    entry = {
        "name": name,
        "version": "1",
        "task": "classification",
        "identity": "00",
        "weights_digest": "d",
        "class_names": ["a"],
        "defaults": {},
    }
    return ServedModel.of(entry, "Classifier", _Calls(side))


def shared(image: bytes, *sides: int | None) -> list[PredictionRequest]:
    models = [model(f"m{index}", side) for index, side in enumerate(sides)]
    decodes = Decodes([(each, ClassifyParameters()) for each in models], Settings())
    return [decodes.share(PredictionRequest.of(each, ClassifyParameters().complete), image) for each in models]


def test_models_share_a_decode_at_the_scale_of_the_finest() -> None:
    coarse, fine = shared(JPEG, 200, 700)
    assert coarse.decoding is not None and coarse.decoding is fine.decoding
    assert coarse.decoding.decode(**CAPS).pixels.shape[:2] == (768, 1024)
    assert fine.key(b"x") == PredictionRequest.of(fine.model, ClassifyParameters().complete).key(b"x")
    assert coarse.key(b"x") != PredictionRequest.of(coarse.model, ClassifyParameters().complete).key(b"x")


def test_needs_of_one_scale_and_files_without_scales_keep_the_keys_of_single_requests() -> None:
    for image, sides in ((JPEG, (400, 700)), (PNG, (10, 700))):
        assert [request.decoded for request in shared(image, *sides)] == [b"", b""]


def test_a_model_of_another_process_and_a_single_model_decode_by_themselves() -> None:
    assert [request.decoding for request in shared(JPEG, 200, None)] == [None, None]
    assert shared(JPEG, 200)[0].decoding is None
    one, other, remote = shared(JPEG, 200, 300, None)
    assert one.decoding is other.decoding is not None and remote.decoding is None


def test_threads_decode_once_and_get_the_same_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    decodes: list[int] = []

    def counted(*args: Any, **options: Any) -> Any:
        decodes.append(1)
        time.sleep(0.05)
        return decode(*args, **options)

    monkeypatch.setattr(shared_decoding, "decode", counted)
    decoding, found = SharedDecoding(JPEG, 700), list[Any]()
    threads = [threading.Thread(target=lambda: found.append(decoding.decode(**CAPS))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(decodes) == 1 and len({id(image) for image in found}) == 1
    assert np.array_equal(found[0].pixels, decode(JPEG, min_short_side=700, **CAPS).pixels)


def test_every_model_gets_the_error_of_a_broken_image() -> None:
    decoding = SharedDecoding(JPEG[:4000], 700)
    for _ in range(2):
        with pytest.raises(BrokenImage):
            decoding.decode(**CAPS)


def test_a_decode_suffices_for_what_needs_no_more_and_does_not_leave_its_process() -> None:
    decoding = SharedDecoding(JPEG, 700)
    assert decoding.suffices(700) and not decoding.suffices(701)
    assert pickle.loads(pickle.dumps(decoding)) is None


@pytest.mark.parametrize(("side", "factor"), [(1536, 1), (768, 2), (767, 2), (769, 1), (384, 4), (100, 8)])
def test_the_factor_is_that_of_the_decode(side: int, factor: int) -> None:
    assert scale_factor(inspect(JPEG, **CAPS), side) == factor
    assert decode(JPEG, min_short_side=side, **CAPS).pixels.shape[0] == 1536 // factor


def test_a_host_predicts_from_the_shared_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    from services.deployments.host import ModelHost

    monkeypatch.setattr("services.deployments.host.configure_logging", lambda _: None)
    config = {"name": "Classifier", "task": "classification", "models": ["efficientnet-lite0"]}
    host = ModelHost(config)
    try:
        side = host.short_side_needed("efficientnet-lite0@1", {"top_k": 5}, (1536, 2048))
        assert side is not None and host.short_side_needed("other@1", {}, (1, 1)) is None
        decoding = SharedDecoding(JPEG, side)
        item = Item("efficientnet-lite0", JPEG, {"top_k": 5}, time.time() + 60)

        async def predict() -> list[bytes | None]:
            items = [item, item._replace(decoding=decoding), item._replace(decoding=SharedDecoding(JPEG, 1))]
            return [outcome.body for outcome in await host.predict(items)]

        alone, together, too_coarse = asyncio.run(predict())
        assert alone is not None and alone == together == too_coarse
        assert decoding._decoded is not None
    finally:
        host.close()

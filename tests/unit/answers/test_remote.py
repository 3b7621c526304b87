"""Images on their way to a server: several in a request, and what becomes of them where that fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from services.answers.image_problem import Problem
from services.answers.model_request import ModelRequest
from services.answers.remote import RemoteAnswer, remote_answers
from services.client import AsyncClient, TapetumError

REQUEST = ModelRequest("detection", "m", {})
BROKEN = TapetumError("no image", "invalid_image", 400)
BUSY = TapetumError("too many images", "body_too_large", 413)


class Server:
    """Answers an image with its own bytes; keeps what was sent."""

    def __init__(self, most: int = 8, refused: TapetumError | None = None) -> None:
        self.sent: list[list[bytes]] = []
        self.most = most
        self.refused = refused

    async def predict(self, _: object, image: bytes, parameters: Mapping[str, Any]) -> Any:
        self.sent.append([image])
        if self.refused:
            raise self.refused
        if image == b"broken":
            raise BROKEN
        return image

    async def predict_many(self, _: object, images: Sequence[bytes], parameters: Mapping[str, Any]) -> list[Any]:
        self.sent.append(list(images))
        if self.refused or len(images) > self.most:
            raise self.refused or BUSY
        return [BROKEN if image == b"broken" else image for image in images]


def read(item: str) -> bytes | Problem:
    return Problem("unreadable_file", item) if item == "missing" else item.encode()


async def ask(server: Server, items: Sequence[str], images_per_request: int) -> list[RemoteAnswer[str]]:
    answers = remote_answers(items, read, cast(AsyncClient, server), REQUEST, images_per_request)
    return [answer async for answer in answers]


ITEMS = [str(number) for number in range(10)]


@pytest.mark.parametrize(("each", "sizes"), [(1, [1] * 10), (4, [4, 4, 2]), (8, [8, 2])])
async def test_answers_come_in_order_however_many_images_share_a_request(each: int, sizes: list[int]):
    server = Server()
    answers = await ask(server, ITEMS, each)
    assert [(answer.item, answer.image, answer.answer) for answer in answers] == [
        (item, item.encode(), item.encode()) for item in ITEMS
    ]
    assert sorted(map(len, server.sent), reverse=True) == sizes


async def test_image_that_fails_leaves_the_others_of_its_request_their_answers():
    answers = await ask(Server(), ["1", "broken", "missing", "4"], 4)
    problems = [answer.answer.code if isinstance(answer.answer, Problem) else None for answer in answers]
    assert problems == [None, "invalid_image", "unreadable_file", None]
    assert [answer.image for answer in answers] == [b"1", b"broken", b"", b"4"]


async def test_images_of_a_request_that_fails_are_asked_for_one_by_one():
    server = Server(most=2)
    answers = await ask(server, ITEMS[:4], 4)
    assert [answer.answer for answer in answers] == [item.encode() for item in ITEMS[:4]]
    assert list(map(len, server.sent)) == [4, 1, 1, 1, 1]


async def test_large_images_are_sent_one_by_one():
    server = Server()
    await ask(server, ["x" * 2**21, "y" * (2**21 + 1)], 2)
    assert list(map(len, server.sent)) == [1, 1]


async def test_refusal_of_all_requests_ends_everything():
    with pytest.raises(TapetumError, match="no such model"):
        await ask(Server(refused=TapetumError("no such model", "unknown_model", 404)), ITEMS, 4)

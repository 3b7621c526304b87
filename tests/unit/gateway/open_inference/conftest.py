"""Fixtures of the tests of the Open Inference Protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from tests.unit.gateway_fakes import FakeBackend, make_app


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """A gateway whose models answer at once."""
    return asyncio.run(make_app(FakeBackend(), None, None))


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of it, without a network; modules with another gateway have a `client` of their own."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as connected:
        yield connected

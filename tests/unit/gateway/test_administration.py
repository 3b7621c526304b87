"""Who may load and unload versions, and what happens where no replica reports what it has loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.settings import Settings, SettingsError
from tests.unit.gateway.accuracy.feedback_fakes import error_of
from tests.unit.gateway_fakes import FakeBackend, classify, gateway, png

LOAD = "/v1/models/efficientnet-lite0@1/load"
BOSS = {"x-api-key": "boss"}


async def test_key_of_an_administrator_is_an_api_key_too():
    async with gateway(FakeBackend(), api_keys="one-key", admin_keys="boss,other-boss") as client:
        statuses = [
            (await classify(client, png(), headers=headers)).status_code
            for headers in ({}, {"x-api-key": "wrong"}, {"x-api-key": "one-key"}, BOSS)
        ]
        assert statuses == [401, 403, 200, 200]
        refused = await client.post(LOAD, headers={"authorization": "Bearer one-key"})
    assert error_of(refused) == (403, "forbidden")
    assert "TAPETUM_ADMIN_KEYS" in refused.json()["error"]["message"]


async def test_where_others_need_no_key_one_that_is_sent_must_be_an_administrators():
    async with gateway(FakeBackend(), admin_keys="boss") as client:
        statuses = [
            (await classify(client, png(), headers=headers)).status_code for headers in ({}, {"x-api-key": "no"}, BOSS)
        ]
        assert statuses == [200, 403, 200]
        assert error_of(await client.post(LOAD)) == (403, "forbidden")


async def test_without_administrators_the_message_names_the_setting():
    async with gateway(FakeBackend()) as client:
        for method, path in (("POST", LOAD), ("PUT", "/v1/models/noop/plan"), ("GET", "/v1/models/noop/plan")):
            refused = await client.request(method, path, headers=BOSS)
            assert error_of(refused) == (403, "forbidden")
            assert "set TAPETUM_ADMIN_KEYS" in refused.json()["error"]["message"]


async def test_load_where_no_replica_reports_is_not_ready():
    async with gateway(FakeBackend(), admin_keys="boss") as client:
        told = await client.post(LOAD, headers={**BOSS, "x-request-timeout": "0.3"})
    assert error_of(told) == (503, "not_ready")


async def test_plan_is_shown_and_its_policy_changed():
    async with gateway(FakeBackend(), admin_keys="boss") as client:
        path = "/v1/models/efficientnet-lite0/plan"
        shown = (await client.get(path, headers=BOSS)).json()
        planned = [{"version": "1", "deployment": "Fake"}]
        assert shown == {
            "model": "efficientnet-lite0",
            "policy": "newest",
            "revision": 0,
            "versions": planned,
            "canary": None,
            "shadow": None,
        }
        changed = (await client.put(path, json={"policy": 1}, headers=BOSS)).json()
        assert (changed["policy"], changed["revision"]) == ("1", 1)
        assert error_of(await client.put(path, json={"policy": "2"}, headers=BOSS)) == (404, "unknown_model")
        assert error_of(await client.put(path, json={}, headers=BOSS)) == (422, "invalid_parameters")


def test_keys_of_administrators_are_read_from_a_file(tmp_path: Path):
    file = tmp_path / "keys"
    file.write_text("# administrators\nfirst\n\nsecond\n")
    settings = Settings(admin_keys="zero", admin_keys_file=file)  # pyright: ignore[reportArgumentType]
    assert settings.all_admin_keys() == ("zero", "first", "second")
    file.write_text("")
    with pytest.raises(SettingsError, match=r"TAPETUM_ADMIN_KEYS_FILE: .* holds no key"):
        settings.all_admin_keys()

"""Settings of the cache and of image sizes that would do nothing, or not what they say, are refused by name."""

from __future__ import annotations

import pytest

from services.settings import SettingsError, read_settings


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"CACHE_SHARED": "false"}, "TAPETUM_CACHE_SHARED: Value error, false needs API keys"),
        ({"CACHE_SECRET": "too short"}, "TAPETUM_CACHE_SECRET"),
        ({"MAX_IMAGE_BYTES": "100000000"}, "TAPETUM_MAX_BODY_BYTES: .* at least TAPETUM_MAX_IMAGE_BYTES"),
    ],
)
def test_setting_without_what_it_needs_is_refused(
    variables: dict[str, str], reason: str, monkeypatch: pytest.MonkeyPatch
):
    for name, value in variables.items():
        monkeypatch.setenv(f"TAPETUM_{name}", value)
    read_settings.cache_clear()
    with pytest.raises(SettingsError, match=reason):
        read_settings()


def test_setting_with_what_it_needs_is_taken(monkeypatch: pytest.MonkeyPatch):
    variables = {"CACHE_SHARED": "false", "API_KEYS": "a,b", "MAX_BODY_BYTES": "200000000"}
    variables |= {"MAX_IMAGE_BYTES": "100000000", "CACHE_SECRET": "sixteen letters!"}
    for name, value in variables.items():
        monkeypatch.setenv(f"TAPETUM_{name}", value)
    read_settings.cache_clear()
    settings = read_settings()
    read_settings.cache_clear()
    assert (settings.cache_shared, settings.max_image_bytes) == (False, 100_000_000)
    assert "sixteen" not in repr(settings)

"""Names of variables: those that nothing reads are refused."""

from __future__ import annotations

import pytest

from services.settings import Settings, SettingsError, check_names


def test_misspelt_variable_is_refused_with_the_one_that_was_meant():
    with pytest.raises(SettingsError, match=r"TAPETUM_RATE_LIMITS is not a setting; did you mean TAPETUM_RATE_LIMIT\?"):
        check_names(["PATH", "TAPETUM_RATE_LIMITS"])


def test_variable_like_no_other_is_refused():
    with pytest.raises(SettingsError, match=r"TAPETUM_XYZZY is not a setting$"):
        check_names(["TAPETUM_XYZZY"])


def test_every_setting_is_known_in_either_case():
    check_names(f"TAPETUM_{name.upper()}" for name in Settings.model_fields)
    check_names(f"tapetum_{name}" for name in Settings.model_fields)
    check_names(["TAPETUM_CATALOG", "TAPETUM_API_KEY", "OTHER_TAPETUM", "TAPETUMX"])


@pytest.mark.parametrize(
    "name",
    [
        "TAPETUM_SERVICE_HOST",
        "TAPETUM_SERVICE_PORT_HTTP",
        "TAPETUM_PORT",
        "TAPETUM_PORT_8000_TCP_ADDR",
        "TAPETUM_SERVE_SVC_PORT_8000_TCP",
    ],
)
def test_variables_that_kubernetes_sets_for_a_service_are_let_pass(name: str):
    check_names([name])

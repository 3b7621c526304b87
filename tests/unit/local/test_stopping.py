"""Signals that come while C code of Ray runs."""

from __future__ import annotations

import signal

import pytest

from services.local.stopping import StopRequested, unwrapped


def test_stop_that_c_code_has_wrapped_is_raised_as_it_is():
    with pytest.raises(StopRequested), unwrapped():
        raise SystemError("<method 'wait'> returned a result with an exception set") from StopRequested()


def test_exit_by_the_handler_of_ray_is_a_stop():
    with pytest.raises(StopRequested), unwrapped():
        raise SystemExit(signal.SIGTERM)


def test_other_system_errors_stay_what_they_are():
    with pytest.raises(SystemError, match="bad internal call"), unwrapped():
        raise SystemError("bad internal call")

"""Clients that share a call through Ray Serve: one that leaves harms no other, and when all have left it ends."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.checkout import ROOT

pytestmark = pytest.mark.integration
SCRIPT = Path(__file__).with_name("shared_call.py")


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    ended = subprocess.run(
        [sys.executable, str(SCRIPT)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    lines = ended.stdout.splitlines()
    assert lines, ended.stderr[-2000:]
    return json.loads(lines[-1])


def test_one_that_leaves_harms_no_other_and_a_call_of_nobody_is_cancelled_at_the_replica(told: dict[str, Any]):
    assert told["got"] == hashlib.sha256(b"stays").hexdigest()
    assert told["ended"] == 2
    assert told["begun"] - told["ended"] == told["cancelled"] >= 1


def test_the_largest_image_arrives_whole_and_costs_the_event_loop_little(told: dict[str, Any]):
    assert told["whole"]
    assert told["loop_s"] < 0.04  # 0.11 where the event loop pickles and sends it

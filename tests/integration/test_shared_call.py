"""Clients that share a call through Ray Serve: one that leaves harms no other, and when all have left it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration
SCRIPT = Path(__file__).with_name("shared_call.py")


def test_one_that_leaves_harms_no_other_and_a_call_of_nobody_is_cancelled_at_the_replica():
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, str(SCRIPT)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    lines = ended.stdout.splitlines()
    assert lines, ended.stderr[-2000:]
    told = json.loads(lines[-1])
    assert told["got"] == "stays"
    assert told["whole"]
    assert told["ended"] == 2
    assert told["begun"] - told["ended"] == told["cancelled"] >= 1

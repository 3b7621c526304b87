"""The Ray Serve application, as the process of `tapetum serve` imports it."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["services.app", "services.local.stack"])
def test_process_that_starts_the_stack_does_not_load_torch(module: str):
    code = f"import sys, {module}; print([name for name in ('torch', 'torchvision') if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"

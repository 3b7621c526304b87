"""Importing torchvision without torch's compiler, in processes of their own."""

import subprocess
import sys

HOSTED = """
from services.deployments.torchvision_import import import_torchvision
import_torchvision()
import services.deployments.host
from models.catalog.loading import load
load("yolo-digits").warm_up(1)
assert "torch._dynamo" not in sys.modules, "the compiler was imported"
"""

AFTERWARDS = """
from services.deployments.torchvision_import import import_torchvision
import_torchvision()
import torch
from torchvision.ops import roi_align
torch.use_deterministic_algorithms(True)  # so that torchvision asks whether it may compile
region = torch.tensor([[0, 1.0, 1.0, 3.0, 3.0]])
assert roi_align(torch.ones(1, 1, 4, 4), region, 2).tolist() == [[[[1.0, 1.0], [1.0, 1.0]]]]
twice = torch.compile(lambda values: 2 * values, backend="eager")
assert twice(torch.ones(2)).tolist() == [2.0, 2.0]
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", f"import sys\n{code}"], capture_output=True, text=True, timeout=120)
    return done.stderr if done.returncode else ""


def test_a_process_that_serves_imports_no_compiler():
    assert run(HOSTED) == ""


def test_compiling_and_regions_of_interest_work_afterwards():
    assert run(AFTERWARDS) == ""

"""What a job of a cluster is told to run."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from services.cli.submitting import job_command

ARGUMENTS = [
    "evaluate",
    "--model",
    "m",
    "--data",
    "some where/x.json",
    "--submit",
    "--address",
    "http://127.0.0.1:8265",
]


def test_a_job_of_this_machine_runs_in_this_folder_and_environment() -> None:
    program = [sys.executable, "-m", "services.cli"]
    expected = ["cd", str(Path.cwd()), "&&", *program, *ARGUMENTS[:-3], "--address", "auto"]
    assert shlex.split(job_command(ARGUMENTS, "http://127.0.0.1:8265")) == expected


def test_a_job_of_another_machine_runs_what_is_installed_there() -> None:
    assert shlex.split(
        job_command([*ARGUMENTS[:-2], "--address=here", "--api-key", "secret"], "https://ray.example:8265")
    ) == [
        "tapetum",
        *ARGUMENTS[:-3],
        "--address",
        "auto",
    ]

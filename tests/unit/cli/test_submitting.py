"""What a job of a cluster is told to run."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from services.cli.submitting import how_it_ended, job_command

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


def test_a_failed_job_is_reported_with_the_end_of_its_log() -> None:
    log = "".join(f"line {number}\n\n" for number in range(50)) + "error: no such model\x1b[2J\n"
    head, *lines = how_it_ended("FAILED", 2, f"Job entrypoint command failed:\n{log}", log).splitlines()
    assert head == "the job has failed with status 2; the end of its log:"
    assert len(lines) == 20 and lines[0] == "line 31"
    assert lines[-1] == "error: no such model\N{REPLACEMENT CHARACTER}[2J"


def test_a_job_whose_command_did_not_start_is_reported_with_the_reason() -> None:
    reason = "Job supervisor actor failed to start within 900 seconds."
    assert how_it_ended("FAILED", None, reason, "") == f"the job has failed: {reason} Its log is empty."
    assert how_it_ended("STOPPED", None, None, "half\n") == "the job has been stopped; the end of its log:\nhalf"

"""Schemathesis on `/openapi.json`: what the schema promises is what the server does, whatever is generated from it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from loadtests.hardening.stack import Target
from loadtests.hardening.verdict import Verdict

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
    "response_headers_conformance,unsupported_method,ignored_auth"
)
MAX_EXAMPLES = 100
TIME_LIMIT_S = 900.0
SEED = 1

CONFIG = """\
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 503, 504]
"""
"""Schemathesis may ask for less time than an answer takes: 504 is then right, and 503 is where there is no room."""


def check_contract(target: Target, folder: Path, max_examples: int = MAX_EXAMPLES) -> list[Verdict]:
    """Run Schemathesis, with the key where the stack asks for one.

    Args:
        target: The stack.
        folder: Takes the whole output.
        max_examples: Requests that are generated for each operation.
    """
    name = "with a key" if target.key else "without keys"
    program = str(Path(sys.executable).parent / "schemathesis")
    config = folder / "schemathesis.toml"
    config.write_text(CONFIG, encoding="utf-8")
    command = [
        *(
            program,
            "--config-file",
            str(config),
            "run",
            f"{target.url}/openapi.json",
            "--checks",
            CHECKS,
            "--max-examples",
            str(max_examples),
        ),
        *("--phases", "examples,coverage,fuzzing", "--seed", str(SEED), "--no-shrink", "--continue-on-failure"),
        *("--request-timeout", "30", "--suppress-health-check", "all", "--workers", "1"),
    ]
    if target.key:
        command += ["-H", f"Authorization: Bearer {target.key}"]
    try:
        finished = subprocess.run(
            command, capture_output=True, text=True, timeout=TIME_LIMIT_S, stdin=subprocess.DEVNULL, cwd=folder
        )
        output, held = finished.stdout + finished.stderr, finished.returncode == 0
    except subprocess.TimeoutExpired as error:
        output, held = f"{error.stdout!r}\nended after {TIME_LIMIT_S:g} s", False
    (folder / f"schemathesis-{'key' if target.key else 'open'}.txt").write_text(output, encoding="utf-8")
    cases = re.search(r"(\d[\d,]*) generated", output)
    failures = re.findall(r"^- (.+)$", output, re.MULTILINE)
    summary = f"{cases[1]} requests" if cases else "no summary"
    return [
        Verdict(
            "contract",
            f"Schemathesis on /openapi.json, {name}",
            summary if held else f"{summary}; {len(failures)} failures",
            held,
            tuple(failures[:8]),
        )
    ]

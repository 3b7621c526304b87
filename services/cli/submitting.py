"""Submits a command as a job to a running Ray cluster, and follows its output."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
import time
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from rich.text import Text

from services.cli.console import CommandError, Screen, printable
from services.machine.hosts import is_loopback
from services.machine.ray_environment import set_ray_environment

_API_KEY: Final = "TAPETUM_API_KEY"
_PASSED_ON: Final = ("TAPETUM_REDIS_URL", "TAPETUM_ACCURACY_FILE", "TAPETUM_CATALOG", "TAPETUM_MODEL_MODULES")
"""Environment variables that are passed to a job; all others are those of the cluster."""

_WITH_VALUE: Final = frozenset({"--address", "--api-key"})
"""Options that are not passed to a job unchanged."""

_POLL_S: Final = 1.0
_AGENT_S: Final = 120.0
"""Longest wait for Ray's agent, which takes jobs a few seconds after the cluster has started, on a busy machine after
more than 30 s."""
_NO_AGENT: Final = "No available agent"
_LAST_LINES: Final = 20
"""Lines of the log of a failed job that are repeated on standard error."""


def submit_job(screen: Screen, url: str, api_key: str | None) -> int:
    """Submit the command of this process as a job, and print its output.

    Args:
        screen: Where to.
        url: Of the cluster's dashboard, such as `http://127.0.0.1:8265`.
        api_key: For a gateway; it is passed in the job's environment, not in its command.

    Returns:
        Exit status: 0 where the job succeeded.

    Raises:
        CommandError: there is no such cluster.
    """
    set_ray_environment(on_loopback=is_loopback(urlsplit(url).hostname or ""), joining=True)
    from ray.exceptions import RayError
    from ray.job_submission import JobSubmissionClient

    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    try:
        client = JobSubmissionClient(url)
        job = _sent(client, environment if api_key is None else {**environment, _API_KEY: api_key}, url)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CommandError(f"no Ray cluster takes jobs at {url}: {reason}") from None
    screen.err.print(f"sent as {job}; Ctrl-C stops watching it, not the job", soft_wrap=True)
    try:
        asyncio.run(_follow(client, job))
    except KeyboardInterrupt:
        stopping = f"ray job stop --address {printable(url)} {job}"
        screen.err.print(Text(f"it goes on; `{stopping}` stops it"), soft_wrap=True)
        return 130
    info = client.get_job_info(job)
    if str(info.status) == "SUCCEEDED":
        return 0
    log = client.get_job_logs(job)
    ended = how_it_ended(str(info.status), info.driver_exit_code, info.message, log)
    screen.err.print(Text(ended, style="red"), soft_wrap=True)
    return 1


def how_it_ended(status: str, exit_code: int | None, reason: str | None, log: str) -> str:
    """What is known of a job that has not succeeded, with the end of its log.

    Args:
        status: Ray's name of it, `FAILED` or `STOPPED`.
        exit_code: Of its command; None where that did not end by itself.
        reason: Ray's; it repeats the log where the command ended by itself.
        log: Standard output and standard error of the job.
    """
    head = "the job has been stopped" if status == "STOPPED" else f"the job has {status.lower()}"
    if exit_code is not None:
        head += f" with status {exit_code}"
    elif reason and reason.strip():
        head += f": {printable(reason.strip().splitlines()[-1])}"
    lines = [printable(line) for line in log.splitlines() if line.strip()][-_LAST_LINES:]
    if not lines:
        return f"{head.removesuffix('.')}. Its log is empty."
    return "\n".join([f"{head.removesuffix('.')}; the end of its log:", *lines])


def job_command(arguments: list[str], url: str) -> str:
    """The same command for a shell of the cluster, on the cluster's own Ray.

    Args:
        arguments: Of this process.
        url: Of the cluster's dashboard. On this machine the job runs in this very folder and environment; elsewhere
            paths are those of the cluster.
    """
    kept: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument in _WITH_VALUE:
            next(rest, None)
        elif argument != "--submit" and argument.partition("=")[0] not in _WITH_VALUE:
            kept.append(argument)
    kept += ["--address", "auto"]
    if not is_loopback(urlsplit(url).hostname or ""):
        return shlex.join(["tapetum", *kept])
    return f"cd {shlex.quote(str(Path.cwd()))} && {shlex.join([sys.executable, '-m', 'services.cli', *kept])}"


def _sent(client: Any, environment: dict[str, str], url: str) -> str:
    """Send the job, and return its id; while the agent that takes jobs is not up yet, try again."""
    give_up_at = time.monotonic() + _AGENT_S
    while True:
        try:
            return client.submit_job(entrypoint=job_command(sys.argv[1:], url), runtime_env={"env_vars": environment})
        except RuntimeError as error:
            if _NO_AGENT not in str(error) or time.monotonic() > give_up_at:
                raise
        time.sleep(_POLL_S)


async def _follow(client: Any, job: str) -> None:
    async for text in client.tail_job_logs(job):
        sys.stdout.write(text)
        sys.stdout.flush()
    while not client.get_job_status(job).is_terminal():
        await asyncio.sleep(_POLL_S)

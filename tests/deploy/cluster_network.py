"""A local network of network namespaces: a bridge, and a machine's worth of namespace for each node.

The bridge lies in a namespace of its own, too. So nothing of the network exists outside of it, the addresses can be
the same in every test run, and two runs at the same time never see each other.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

import psutil

_PREFIX = "tapetum-test-"
_FOLDER = Path("/var/run/netns")
_CLONE_NEWNET = 0x40000000
"""Source: linux/sched.h."""


def why_not() -> str | None:
    """Why network namespaces cannot be made here; None where they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for program in ("ip", "unshare"):
        if shutil.which(program) is None:
            return f"the program {program} is not installed"
    name = f"{_PREFIX}{os.getpid()}-try"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode != 0:
        return "network namespaces cannot be made here"
    bridge = _run_quietly("ip", "-n", name, "link", "add", "lan", "type", "bridge")
    _run_quietly("ip", "netns", "del", name)
    return None if bridge else "bridges cannot be made in network namespaces here"


class Network:
    """A bridge with the address 10.77.0.1/24; a context manager that removes every namespace it made.

    Attributes:
        gateway: Address of the bridge, which processes of the test have.
    """

    gateway = "10.77.0.1"

    def __init__(self) -> None:
        self._mark = f"{_PREFIX}{os.getpid()}-{time.monotonic_ns() % 10**6}"
        self._made: list[str] = []

    def __enter__(self) -> Network:
        remove_left_over()
        try:
            self._lan = self._make("lan")
            _ip("-n", self._lan, "link", "add", "lan", "type", "bridge")
            _ip("-n", self._lan, "addr", "add", f"{self.gateway}/24", "dev", "lan")
            _ip("-n", self._lan, "link", "set", "lan", "up")
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def add(self, name: str, number: int) -> tuple[str, str]:
        """Make a namespace that is connected to the bridge.

        Args:
            name: Of the node, at most 11 characters.
            number: Last byte of its address, 2 to 254.

        Returns:
            Name of the namespace, and its address.
        """
        namespace, address = self._make(name), f"10.77.0.{number}"
        port = f"to-{name}"
        _ip("-n", self._lan, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _ip("-n", self._lan, "link", "set", port, "master", "lan", "up")
        _ip("-n", namespace, "addr", "add", f"{address}/24", "dev", "eth0")
        _ip("-n", namespace, "link", "set", "eth0", "up")
        _ip("-n", namespace, "route", "add", "default", "via", self.gateway)
        return namespace, address

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Let this thread, and the threads and processes it starts, use the network of the bridge."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _set_namespace(_FOLDER / self._lan)
            yield
        finally:
            _enter(before)
            os.close(before)

    def _make(self, name: str) -> str:
        namespace = f"{self._mark}-{name}"
        _ip("netns", "add", namespace)
        self._made.append(namespace)
        _ip("-n", namespace, "link", "set", "lo", "up")
        return namespace

    def _remove(self) -> None:
        while self._made:
            _run_quietly("ip", "netns", "del", self._made.pop())


def remove_left_over() -> None:
    """Remove the namespaces of test runs that were killed."""
    for file in _FOLDER.glob(f"{_PREFIX}*") if _FOLDER.is_dir() else ():
        pid = file.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            _run_quietly("ip", "netns", "del", file.name)


def _set_namespace(file: Path) -> None:
    opened = os.open(file, os.O_RDONLY)
    try:
        _enter(opened)
    finally:
        os.close(opened)


def _enter(opened: int) -> None:
    """`os.setns` of Python 3.12; see setns(2)."""
    if ctypes.CDLL(None, use_errno=True).setns(opened, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


def _run_quietly(*command: str) -> bool:
    with suppress(OSError):
        return subprocess.run(command, capture_output=True).returncode == 0
    return False

"""Peers that a run compares with only where it is asked to, for each needs an environment of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path

from loadtests.contenders import Contender, litserve, mosec
from loadtests.environments import LITSERVE, MOSEC, Environment, NoEnvironment
from loadtests.workloads import Workload


class Peer(StrEnum):
    """One of them."""

    LITSERVE = "litserve"
    MOSEC = "mosec"

    @property
    def environment(self) -> Environment:
        """Where it is installed."""
        return {Peer.LITSERVE: LITSERVE, Peer.MOSEC: MOSEC}[self]

    def contender(self, python: Path, workload: Workload, config: Path) -> Contender:
        """The system.

        Args:
            python: The interpreter of its environment.
            workload: What it is asked for.
            config: Tapetum's Serve configuration file with that model alone.
        """
        return litserve(python, workload) if self is Peer.LITSERVE else mosec(python, config)


def interpreters(peers: Iterable[Peer], say: Callable[[str], None]) -> dict[Peer, Path]:
    """The interpreters of the peers' environments, which are made where they are missing.

    Args:
        peers: The peers.
        say: Takes lines of progress, and why a peer is left out.
    """
    found: dict[Peer, Path] = {}
    for peer in peers:
        try:
            found[peer] = peer.environment.python(say)
        except NoEnvironment as error:
            say(f"without {peer}: {error}")
    return found

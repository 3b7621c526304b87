"""Drives a rollout: carries the decisions of the controller out on a server, and prints what was measured."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from rich.text import Text

from services.cli.console import CommandError, Screen
from services.client import TapetumError
from services.rollout.controller import Action, Controller, Decision
from services.rollout.gate import Verdict
from services.rollout.guards import Seen
from services.rollout.schedule import Schedule

POLL_S: Final = 1.0
"""Seconds between two looks at the live metrics."""

LOST_S: Final = 15.0
"""Seconds without an answer after which the server counts as lost."""

RENEW_S: Final = 15.0
"""Seconds after which a canary is renewed, which would otherwise end by itself: this process may be killed."""

SAY_S: Final = 10.0
"""Least seconds between two lines about what is waited for."""


class Target(Protocol):
    """The server of a rollout. All methods raise TapetumError."""

    def current(self) -> str:
        """The version that answers requests without a version."""
        ...

    def load(self, old: str) -> None:
        """Load the new version, where it is not, while the old one keeps answering all requests."""
        ...

    def unload(self) -> None:
        """Undo `load`."""
        ...

    def gate(self, old: str) -> Verdict:
        """Compare the recorded evaluations of the new version with those of the old one."""
        ...

    def set_weight(self, weight: float) -> None:
        """Send a percentage of the requests to the new version, until it ends by itself where it is not renewed."""
        ...

    def promote(self) -> None:
        """Let the new version answer all requests from now on."""
        ...

    def roll_back(self, old: str) -> None:
        """Let the old version answer all requests from now on."""
        ...

    def look(self, old: str) -> tuple[Seen, Seen]:
        """The live metrics of the old and of the new version, counts in total."""
        ...


@dataclass
class Session:
    """One rollout.

    Attributes:
        target: The server.
        name: The model.
        version: The new version.
        schedule: Steps, guards and limits.
        force: Whether to go on where the gate is closed.
        screen: Output.
        clock: Seconds.
        sleep: Waits for seconds.
    """

    target: Target
    name: str
    version: str
    schedule: Schedule
    force: bool
    screen: Screen
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def run(self) -> int:
        """Roll the version out.

        Returns:
            Exit status: 0 where the version answers all requests in the end.

        Raises:
            CommandError: the gate is closed.
            TapetumError: the server refused, or could not be reached, before the first step.
        """
        old = self.target.current()
        if old == self.version:
            self._say(f"{self._new} answers all requests already")
            return 0
        self._prepare(old)
        try:
            decision = self._step_up(old)
            if decision.action is Action.PROMOTE:
                self.target.promote()
                self._say(f"{self._new} answers all requests; {self.name}@{old} stays loaded", "green")
                return 0
        except KeyboardInterrupt:
            return self._roll_back(old, "interrupted", 130)
        except TapetumError as error:
            return self._roll_back(old, f"the server refused or was lost: {error}", 1)
        return self._roll_back(old, decision.reason, 1)

    @property
    def _new(self) -> str:
        return f"{self.name}@{self.version}"

    def _prepare(self, old: str) -> None:
        """Load the version and check the gate; where that fails, all is as before."""
        try:
            self.target.load(old)
            self._say(f"{self._new} is loaded; {self.name}@{old} answers all requests")
            self._check_gate(old)
        except BaseException:
            self.target.unload()
            raise

    def _check_gate(self, old: str) -> None:
        verdict = self.target.gate(old)
        for line in verdict.lines:
            self._say(f"gate: {line}")
        if not (verdict.passes or self.force):
            raise CommandError(
                f"the gate is closed for {self._new}: evaluate it and {self.name}@{old} on the same data with "
                "`tapetum evaluate`, or pass --force"
            )
        if not verdict.passes:
            self._say("gate: closed, and passed by --force", "yellow")

    def _step_up(self, old: str) -> Decision:
        """Take steps until the controller promotes or rolls back."""
        controller = Controller(self.schedule, *self.target.look(old), self.clock())
        while True:
            decision, new = self._take(controller, old)
            self._say(f"{controller.weight:g} %: {decision.requests} requests to {self._new}: {decision.action}")
            for reading in decision.readings:
                self._say(f"  {reading}", "red" if reading.is_broken else "")
            if decision.action is not Action.STEP:
                return decision
            if decision.reason:
                self._say(f"  {decision.reason}", "yellow")
            controller.next_step(new, self.clock())

    def _take(self, controller: Controller, old: str) -> tuple[Decision, Seen]:
        """Set the weight of a step, and wait for its decision; short outages of the server are tolerated.

        Returns:
            The decision, and the metrics of the new version at that time.
        """
        renewed_at = said_at = float("-inf")
        answered_at = self.clock()
        while True:
            now_s = self.clock()
            try:
                if now_s - renewed_at >= RENEW_S:
                    self.target.set_weight(controller.weight)
                    renewed_at = now_s
                seen, new = self.target.look(old)
            except TapetumError as error:
                if error.status not in (None, 429, 503) or now_s - answered_at >= LOST_S:
                    raise
            else:
                answered_at = now_s
                decision = controller.decide(seen, new, now_s)
                if decision.action is not Action.WAIT:
                    return decision, new
                if now_s - said_at >= SAY_S:
                    self._say(f"{controller.weight:g} %: waiting: {decision.reason}")
                    said_at = now_s
            self.sleep(POLL_S)

    def _roll_back(self, old: str, reason: str, status: int) -> int:
        self._say(f"rolling back: {reason}", "red")
        give_up_at = self.clock() + LOST_S
        while True:
            try:
                self.target.roll_back(old)
            except TapetumError as error:
                if self.clock() < give_up_at:
                    self.sleep(POLL_S)
                    continue
                self._say(f"not rolled back: {error}; the server ends the canary by itself", "red")
                return status
            self._say(f"{self.name}@{old} answers all requests again; {self._new} stays loaded and gets none")
            return status

    def _say(self, line: str, style: str = "") -> None:
        self.screen.out.print(Text(line, style), soft_wrap=True)


def run_rollout(screen: Screen, target: Target, name: str, version: str, schedule: Schedule, *, force: bool) -> int:
    """Roll a version out; see `Session`.

    Returns:
        Exit status.

    Raises:
        CommandError: nothing was changed: the server refused or cannot be reached, or the gate is closed.
    """
    with interruptible():
        try:
            return Session(target, name, version, schedule, force, screen).run()
        except TapetumError as error:
            raise CommandError(error.message) from None
        except KeyboardInterrupt:
            return 130


@contextmanager
def interruptible() -> Generator[None]:
    """Turn SIGTERM into KeyboardInterrupt, so that a rollout which is ended rolls back."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

"""Deploys a configuration to a running cluster and watches it: what `tapetum serve --address` does."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

from services.cluster.address import find_dashboard, prepare
from services.cluster.errors import ClusterError
from services.cluster.state import ApplicationState
from services.configuration import TopologyError
from services.local.ports import address as host_and_port
from services.serve_file import ServeFile, read_serve_file
from services.settings import Settings, SettingsError, read_settings

_POLL_S: Final = 1.0
_TAKEN_WITHIN_S: Final = 10.0
"""In which the cluster shows a new deployment; after it, what it shows is believed."""

Say = Callable[[str], None]
"""Takes one line of progress."""


def deploy(
    path: Path, address: str, *, host: str | None, port: int | None, grpc_port: int | None = None, say: Say = print
) -> int:
    """Deploy, and watch until SIGINT or SIGTERM.

    Args:
        path: Serve configuration file.
        address: Of the cluster, see `services.cluster.address.find_dashboard`.
        host: Listen here on each node instead of where the file says.
        port: Likewise.
        grpc_port: Likewise, of gRPC; 0: none.
        say: Takes the lines of progress.

    Returns:
        Exit status: 0 after a signal, which ends the watch and not the application; 1 where it could not be deployed.
    """
    before = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        settings = read_settings()
        config = read_serve_file(path).listening_at(host, port, grpc_port)
        prepare(address, settings)
        url = find_dashboard(address)
        _Deployment(url, config, settings, say).run()
    except (ClusterError, TopologyError, SettingsError) as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("stopped watching; the application goes on (`serve shutdown` ends it)")
        return 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Deployment:
    """A configuration on its way to a cluster.

    Args:
        url: Of the dashboard.
        config: What to serve.
        settings: Whether clients need a key.
        say: Takes the lines of progress.
    """

    def __init__(self, url: str, config: ServeFile, settings: Settings, say: Say) -> None:
        from ray.dashboard.modules.serve.sdk import ServeSubmissionClient

        self._url = url
        self._config = config
        self._settings = settings
        self._say = say
        self._started_at = time.monotonic()
        try:
            self._client: Any = ServeSubmissionClient(url)
        except Exception as error:  # of requests, of Ray's client, and RuntimeError for a token that is not accepted
            raise ClusterError(f"no Ray dashboard answers at {url}: {_first_line(error)}") from None

    def run(self) -> NoReturn:
        """Deploy and watch, until interrupted.

        Raises:
            ClusterError: the configuration was not taken, or the application did not start.
        """
        former = self._state().deployed_at_s
        try:
            self._client.deploy_applications(self._config.to_document())
        except Exception as error:
            raise ClusterError(f"the cluster at {self._url} refuses the configuration: {_first_line(error)}") from None
        self._step(f"sent to {self._url}")
        self._watch(former)

    def _watch(self, former: float) -> NoReturn:
        shown, has_run, is_lost = "", False, False
        while True:
            try:
                state = self._state()
            except ClusterError as error:
                if not is_lost:
                    self._step(str(error))
                is_lost = True
            else:
                is_lost = False
                if state.deployed_at_s > former or time.monotonic() - self._started_at > _TAKEN_WITHIN_S:
                    if state.line() != shown:
                        shown = state.line()
                        self._step(shown)
                    if state.status == "DEPLOY_FAILED":
                        raise ClusterError(f"the application did not start: {state.reason}")
                    if state.status == "RUNNING" and not has_run:
                        has_run = True
                        self._say_where(state)
            time.sleep(_POLL_S)

    def _state(self) -> ApplicationState:
        try:
            details = self._client.get_serve_details()
        except Exception as error:
            raise ClusterError(f"the cluster does not answer at {self._url}: {_first_line(error)}") from None
        return ApplicationState.of(details, self._config.applications[0].name)

    def _say_where(self, state: ApplicationState) -> None:
        port = self._config.http_options.port
        key = " -H 'Authorization: Bearer YOUR_KEY'" if self._settings.all_api_keys() else ""
        for node in state.nodes:
            self._say(f"  serves   http://{host_and_port(node, port)}")
        if state.nodes:
            self._say(f"  try      curl{key} http://{host_and_port(state.nodes[0], port)}/v1/models")
        self._say("  stop     Ctrl-C stops watching; `serve shutdown` ends the application")

    def _step(self, what: str) -> None:
        self._say(f"{time.monotonic() - self._started_at:7.1f} s  {what}")


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__).strip()

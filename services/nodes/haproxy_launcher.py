"""Starts HAProxy in place of the program that Ray Serve would start (`RAY_SERVE_HAPROXY_BINARY_PATH`).

    python -I -S haproxy_launcher.py PLAN.json -db -f haproxy.cfg …

Ray renders HAProxy's configuration anew at every change. This program edits it and then becomes HAProxy, so that Ray
finds HAProxy under the process id that it started. It runs on the standard library alone, since each reload runs it.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import platform
import re
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

EDITED: Final = "# edited by Tapetum\n"
GRPC_TIMEOUT: Final = "x-tapetum-grpc-timeout"
"""Header with the deadline of a gRPC call; `services.gateway.open_inference.grpc_timeout` reads it."""
REQUEST_ID: Final = "%[var(txn.request_id),json(ascii)]"
_PR_SET_PDEATHSIG: Final = 1
_MAX_HEADERS: Final = 1024
"""HAProxy's limit of header fields; more are a bad request. The gateway has a lower limit, with its own error."""

NOT_READY: Final = ("not_ready", "no gateway takes requests right now")
URL_TOO_LONG: Final = ("url_too_long", "the path and the query are too long")
HEADER_TOO_LARGE: Final = ("header_too_large", "the header of the request is too large")
NOT_FOUND: Final = ("not_found", "there is nothing at this path; see /docs")
ERRORS: Final[Mapping[int, tuple[str, str]]] = {
    400: ("malformed_request", "the request is not valid HTTP, or broke off"),
    408: ("request_timeout", "the request did not arrive in time"),
    500: ("internal_error", "something went wrong here"),
    502: ("backend_failed", "the gateway broke off its answer"),
    503: NOT_READY,
    504: ("out_of_time", "the gateway did not answer in time"),
}
"""HAProxy's own errors: code and message by status. `docs/errors.md` lists them."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The additions to the configuration that Ray writes.

    Attributes:
        program: HAProxy itself.
        port: The public port; None: that of the configuration, as on a node of a cluster.
        grpc_port: Likewise, of gRPC.
        hosts: Addresses to listen on there; empty: that of the configuration.
        token: Of the stack, put into every request.
        token_header: The header for it.
        max_header_bytes: Longest header of a request.
        max_url_bytes: Longest path and query of a request.
        header_timeout_s: Time in which the header of a request must have arrived.
        grpc_idle_s: Time after which a gRPC stream without data ends.
        max_connections_per_address: Connections that one address may hold, loopback excepted; 0 is no limit.
    """

    program: str
    port: int | None
    grpc_port: int | None
    hosts: tuple[str, ...]
    token: str
    token_header: str
    max_header_bytes: int
    max_url_bytes: int
    header_timeout_s: int = 10
    grpc_idle_s: int = 130
    max_connections_per_address: int = 0

    def to_json(self) -> str:
        """Serialises the plan; `from_json` is the inverse."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Parses a plan that `to_json` wrote."""
        given = json.loads(text)
        return cls(**{**given, "hosts": tuple(given["hosts"])})


def edit(text: str, plan: Plan) -> str:
    """Edits HAProxy's configuration for the stack.

    Args:
        text: As Ray Serve 2.60 renders it, or as this function returned it.
        plan: What to put into it.
    """
    if text.startswith(EDITED):
        return text
    has_application = "use_backend http-" in text
    section = ""
    lines: list[str] = [EDITED.rstrip()]
    for line in text.splitlines():
        if line and not line[0].isspace():
            section = line
        lines += _edit_line(line, section, plan, has_application)
    return "\n".join(lines) + "\n"


def _edit_line(line: str, section: str, plan: Plan, has_application: bool) -> Iterable[str]:
    words = line.split()
    if not words or re.match(r"errorfile 50[234]$", " ".join(words[:2])):
        return ()
    if section == "frontend http_frontend" and words[0] == "bind":
        return _frontend(plan, line)
    if section == "frontend grpc_frontend" and words[0] == "bind":
        return _grpc_frontend(plan, line)
    if words[0] == "bind" and re.match(r"(\*|):\d+$", words[1]):  # statistics and metrics, open to every interface
        return (f"    bind 127.0.0.1:{words[1].rpartition(':')[2]}",)
    if line.strip() == "option abortonclose":
        return _defaults(line, plan)
    if words[0] == "tune.bufsize":
        return (line, f"    tune.http.maxhdr {_MAX_HEADERS}")
    if words[0] == "server" and words[-1] == "backup":  # Ray's fallback proxy, which answers 404 and 500 in plain text
        return ()
    if section == "backend default_backend" and "status 404" in line:
        return (f"    {_answer(404, *NOT_FOUND) if has_application else _answer(503, *NOT_READY)}",)
    return (line,)


def _defaults(line: str, plan: Plan) -> Iterator[str]:
    """Lines of the defaults section: JSON errors, and a time limit for headers."""
    yield line
    yield "    option http-ignore-probes"
    yield f"    timeout http-request {plan.header_timeout_s}s"
    for status, (code, message) in ERRORS.items():
        yield f"    http-error status {status} {_content(status, code, message)}"


def _frontend(plan: Plan, bind: str) -> Iterator[str]:
    """Lines of the frontend of the public port: its addresses, and the checks and headers of requests.

    Args:
        plan: Where to listen, and the limits of requests.
        bind: Ray's own line of where to listen.
    """
    yield from (f"    bind {bound}" for bound in _addresses(plan, plan.port, bind))
    yield from _every_request(plan)
    yield f"    {_answer(414, *URL_TOO_LONG)} if {{ url,length gt {plan.max_url_bytes} }}"
    yield f"    {_answer(431, *HEADER_TOO_LARGE)} if {{ req.hdrs,length gt {plan.max_header_bytes} }}"
    unless_health = " !{ path /-/healthz }" if plan.port is None else ""  # which probes of a cluster's nodes ask for
    yield f"    {_answer(404, *NOT_FOUND)} if {{ path,url_dec -m beg /-/ }}{unless_health}"


def _grpc_frontend(plan: Plan, bind: str) -> Iterator[str]:
    """Lines of the frontend of gRPC: its addresses, and the headers of calls.

    gRPC's server does not pass the deadline of a call on, so a copy of it goes to the gateway.

    Args:
        plan: Where to listen.
        bind: Ray's own line of where to listen.
    """
    yield from (f"    bind {bound} proto h2" for bound in _addresses(plan, plan.grpc_port, bind))
    yield f"    timeout client {plan.grpc_idle_s}s"
    yield from _every_request(plan)
    yield f"    http-request del-header {GRPC_TIMEOUT}"
    yield f"    http-request set-header {GRPC_TIMEOUT} %[req.hdr(grpc-timeout)] if {{ req.hdr(grpc-timeout) -m found }}"


def _addresses(plan: Plan, port: int | None, bind: str) -> Iterator[str]:
    """Addresses and options of `bind`: those of the plan, or of Ray's own line where it has no port."""
    host, _, configured = bind.split()[1].rpartition(":")
    hosts = (host.strip("[]") or "0.0.0.0",) if port is None else plan.hosts
    return (bound for one in hosts for bound in _bound(one, int(configured) if port is None else port))


def _every_request(plan: Plan) -> Iterator[str]:
    """Lines of a frontend for all requests: the limit of connections, the request id, the token and the address."""
    if plan.max_connections_per_address:
        yield "    stick-table type ipv6 size 100k expire 60s store conn_cur"
        yield "    tcp-request connection track-sc0 src unless { src 127.0.0.0/8 ::1 }"
        yield f"    tcp-request connection reject if {{ sc0_conn_cur gt {plan.max_connections_per_address} }}"
    yield (
        "    http-request set-var(txn.request_id) req.fhdr(x-request-id) "
        "if { req.fhdr(x-request-id) -m reg ^[!-~]{1,128}$ }"
    )
    yield "    http-request set-var(txn.request_id) uuid() unless { var(txn.request_id) -m found }"
    yield "    http-request set-header X-Request-ID %[var(txn.request_id)]"
    yield f"    http-request set-header {plan.token_header} {plan.token}"
    # not `option forwardfor`, which appends: uvicorn would believe what a client on this machine puts before it
    yield "    http-request set-header X-Forwarded-For %[src]"


def _bound(host: str, port: int) -> tuple[str, ...]:
    """Addresses and options of `bind`; without `v6only` a reload does not find the IPv6 socket of its predecessor."""
    if host == "0.0.0.0":
        return (f"*:{port}",)
    if host == "::":
        return (f"*:{port}", f"[::]:{port} v6only")
    return (f"[{host}]:{port} v6only",) if ":" in host else (f"{host}:{port}",)


def _answer(status: int, code: str, message: str) -> str:
    return f"http-request return status {status} {_content(status, code, message)}"


def _content(status: int, code: str, message: str) -> str:
    """Body and headers of an error, with the request id."""
    body = f'{{"error":{{"code":"{code}","message":"{message}","request_id":"{REQUEST_ID}","details":{{}}}}}}'
    headers = {"X-Request-ID": "%[var(txn.request_id)]", "Cache-Control": "no-store"}
    if status in (502, 503):
        headers["Retry-After"] = "1"
    told = " ".join(f"hdr {name} {value}" for name, value in headers.items())
    return f"content-type application/json lf-string '{body}' {told}"


def end_with_parent() -> None:
    """On Linux: receive SIGTERM when the parent ends, even if that is killed (PR_SET_PDEATHSIG, prctl(2))."""
    if platform.system() == "Linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def main(plan_file: str, arguments: Sequence[str]) -> None:
    """Edit the configuration that the arguments name, and become HAProxy."""
    plan = Plan.from_json(Path(plan_file).read_text(encoding="utf-8"))
    end_with_parent()
    for flag, name in itertools.pairwise(arguments):
        if flag == "-f":
            edit_file(Path(name), plan)
    os.execv(plan.program, [plan.program, *arguments])


def edit_file(file: Path, plan: Plan) -> None:
    """Edit a configuration in place; one without gateways is replaced by the last that had some.

    Ray Serve leaves them out while it builds a changed application, which takes seconds, and for good where that fails.
    They still run then. Of those that do not, HAProxy's health checks find out, and it answers 503 itself.

    Args:
        file: As Ray Serve 2.60 has rendered it; the last one with gateways is kept beside it.
        plan: What to put into it.
    """
    text = edit(file.read_text(encoding="utf-8"), plan)
    kept = file.with_suffix(".last")
    if re.search(r"^\s+server ", text, re.MULTILINE):
        _replace(kept, text)
    elif kept.exists():
        text = kept.read_text(encoding="utf-8")
    _replace(file, text)


def _replace(file: Path, text: str) -> None:
    """Write a file atomically."""
    draft = file.with_name(f"{file.name}.draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(file)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])

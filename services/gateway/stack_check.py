"""Accepts only requests that came through the HAProxy of the gateway's own stack, by a secret token."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.errors import NotReady
from services.gateway.middleware import error_response, make_request_id
from services.machine.stack_token import NONCE_HEADER, PROOF_HEADER, TOKEN_HEADER, prove


@dataclass(frozen=True, slots=True)
class StackCheck:
    """ASGI middleware around the gateway.

    Attributes:
        app: The gateway.
        token: Of the stack; see `services.machine.stack_token`.
    """

    app: ASGIApp
    token: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request: 503 `not_ready` without the token, as from a stack without a gateway."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get(TOKEN_HEADER, "")
        if not hmac.compare_digest(given.encode("latin-1"), self.token.encode()):
            refusal = error_response(
                NotReady("this gateway belongs to another stack"),
                make_request_id(headers.get("x-request-id")),
                scope["path"],
            )
            await refusal(scope, receive, send)
            return
        if client := headers.get("x-forwarded-for"):  # set by HAProxy, which may run on another node than this gateway
            scope["client"] = (client, 0)
        nonce = headers.get(NONCE_HEADER)

        async def send_with_proof(message: Message) -> None:
            if message["type"] == "http.response.start" and nonce is not None:
                MutableHeaders(scope=message)[PROOF_HEADER] = prove(self.token, nonce)
            await send(message)

        await self.app(scope, receive, send_with_proof)

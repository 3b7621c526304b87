"""Why a stack does not start, or does not go on."""

from __future__ import annotations

from services.nodes.errors import NodeError


class StackError(NodeError):
    """The stack cannot be started, or has failed; the message is one line for a person."""


class PartEnded(StackError):
    """A part of Ray that nothing works without has ended, so that the stack cannot even be stopped in order."""

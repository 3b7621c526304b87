"""Errors of starting and running a stack."""

from __future__ import annotations

from services.nodes.errors import NodeError


class StackError(NodeError):
    """The stack cannot be started, or has failed; the message is one line for a person."""


class PartEnded(StackError):
    """An essential process of Ray has ended, so that the stack cannot shut down gracefully."""

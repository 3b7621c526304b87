"""Errors of starting a node of Ray."""

from __future__ import annotations


class NodeError(Exception):
    """The node cannot be started; the message is one line for a person."""

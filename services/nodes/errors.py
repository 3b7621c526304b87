"""Why a node of Ray cannot be started."""

from __future__ import annotations


class NodeError(Exception):
    """The node cannot be started; the message is one line for a person."""

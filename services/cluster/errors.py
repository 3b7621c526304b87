"""Why nothing can be deployed."""

from __future__ import annotations


class ClusterError(Exception):
    """The cluster cannot be reached, or does not take what is deployed; the message is one line for a person."""

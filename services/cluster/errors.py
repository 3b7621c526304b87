"""Errors of deploying to a cluster."""

from __future__ import annotations


class ClusterError(Exception):
    """The cluster is unreachable, or refuses the deployment; the message is one line for a person."""

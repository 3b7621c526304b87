"""Memory that networks keep between runs."""

import sys


def release_activations(idle_s: float = 0.0) -> None:
    """Frees the activations that networks of OpenVINO keep allocated between runs, a copy for each stream.

    The eight bundled models keep 0.7 GB for one stream once they are warmed up. The next run allocates its activations
    again, which takes it a tenth to a third longer.

    Args:
        idle_s: Networks that ran within so many seconds keep theirs.
    """
    openvino_network = sys.modules.get("models.execution.openvino_network")
    if openvino_network is not None:
        openvino_network.release_activations(idle_s)

"""The stack on one machine: its processes, ports and HAProxy, start and shutdown."""

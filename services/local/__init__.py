"""The stack on one machine: its processes, its ports, its HAProxy, its start and its end."""

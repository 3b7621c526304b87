"""A node of Ray, on one machine or in a cluster: its environment, its HAProxy, its metrics and its logs."""

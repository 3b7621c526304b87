"""A node of Ray, on one machine or in a cluster: environment, HAProxy, metrics and logs."""

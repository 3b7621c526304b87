"""Deploys to a running Ray cluster, and watches it: `tapetum serve --address`."""

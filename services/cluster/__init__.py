"""Deploys to a Ray cluster that runs already, and watches it: `tapetum serve --address`."""

"""Hostile and broken input against a running stack: `make hardening`, or `python -m loadtests.hardening --help`."""

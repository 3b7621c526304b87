"""A simulation of the whole service: what latency and CPU to expect at a rate and a topology that are not at hand."""

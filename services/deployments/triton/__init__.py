"""Networks that a Triton server runs, for model replicas."""

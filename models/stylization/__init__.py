"""Style transfer, an experimental kind: Gatys' optimisation and a fast feed-forward network."""

"""Load on running systems: `overhead` compares Tapetum with its peers, in one run on one machine."""

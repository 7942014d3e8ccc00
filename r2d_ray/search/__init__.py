"""A search: space, plan, trials, samplers."""

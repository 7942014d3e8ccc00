"""Which rows go where: drawn splits, and what must not stand in two of them."""

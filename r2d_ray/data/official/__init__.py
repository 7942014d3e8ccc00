"""The official layouts: one reader a data set."""

"""One loop for both stages, without Ray."""

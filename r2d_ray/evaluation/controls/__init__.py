"""Controls: answers and rationales of no language model, scored beside those of trained ones."""

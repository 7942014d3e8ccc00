"""Prediction: rows of any number in, the same rows with labels and rationales out."""

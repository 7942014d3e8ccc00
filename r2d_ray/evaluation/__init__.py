"""Scores: labels, texts, what a rationale says of its label, and controls."""

"""Speed and memory, measured side by side in one run: every promise is a ratio printed here."""

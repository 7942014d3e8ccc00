"""What a model reads of a row: bodies of prompts, and whole prompts to look at."""

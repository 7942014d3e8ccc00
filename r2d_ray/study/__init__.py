"""The study folder: what was asked, what has ended, what is kept."""

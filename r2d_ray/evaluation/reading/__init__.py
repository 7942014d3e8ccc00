"""Rationales read: by whom, what they support, and whether they are true to their rows."""

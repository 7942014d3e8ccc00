"""A comparison: arms by seeds on equal terms, and their scores."""

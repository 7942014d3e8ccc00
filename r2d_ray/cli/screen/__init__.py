"""What a person or a program sees of a study while it runs."""

"""What leaves a study: the exported model, its card, and where it goes."""

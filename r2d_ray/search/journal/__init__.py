"""What is read from and told to a search's journal beside the trials' values."""

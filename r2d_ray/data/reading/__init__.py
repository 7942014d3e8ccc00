"""Tables in every container that pandas and `datasets` write, read as the same rows."""

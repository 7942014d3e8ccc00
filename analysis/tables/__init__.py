"""Every table of the report, and its formats."""

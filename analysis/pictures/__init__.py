"""Every picture of the report."""

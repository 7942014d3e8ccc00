"""What a study tells while it runs: events for whoever shows them, and files that runs leave."""

"""The paper: prompts, schedules, tokens, batch, labels, sampling, losses; cycle and variants."""

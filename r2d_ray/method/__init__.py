"""The paper. Read prompts, schedules, tokens, label_kinds, batch, labels, sampling, losses.

Then cycle, which is Reason2Decide-C's loss, and variants, the methods by name.
"""

"""The T5: weights, tokenizer, decoding, a teacher-forced pass, its cost; cpu_* only for CPUs."""

"""Pre-training and fine-tuning of weights."""

"""Measurements against what people would use instead; each is one command with its results beside it."""

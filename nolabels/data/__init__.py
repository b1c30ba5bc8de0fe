"""Sources, readers, texts and splits, people's answers."""

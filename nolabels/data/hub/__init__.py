"""Assets of the Hugging Face hub: taken at one commit, every file checked, no code of theirs run."""

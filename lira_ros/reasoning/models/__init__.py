"""Model cards: which models are known, where their files are, and whether they are whole."""

"""The answer of a vision-language model: its schema, its prompt, and tolerant reading."""

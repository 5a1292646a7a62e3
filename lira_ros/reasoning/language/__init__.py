"""Language: a sentence becomes a constraint, and texts become vectors that can be compared."""

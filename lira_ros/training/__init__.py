"""Training of what is learned: homes to learn from, the trainer, and the tasks that it is given."""

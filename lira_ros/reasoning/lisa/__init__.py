"""The lisa back end: LISA and LIRA checkpoints."""

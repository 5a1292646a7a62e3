"""The compact back end: instance proposals and names from geometry and colour, no GPU, no learned network."""

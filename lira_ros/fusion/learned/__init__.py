"""The learned fusion: what candidates and instances look like in numbers, the network, and the method made of it."""

"""Messages <-> the types of the rooms, one file for each family; every conversion has a round-trip test."""

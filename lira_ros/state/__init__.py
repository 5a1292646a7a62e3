"""State as bytes that can be trusted: checksummed sections, and typed state written as plain arrays."""

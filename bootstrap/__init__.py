"""Build the Python environment that `make` works in; needs nothing but Python's standard library."""

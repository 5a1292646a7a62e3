"""The command `python3 -m bootstrap`, which `make setup` runs."""

import sys

# Checked before anything else is imported: the other modules use the syntax of these versions.
if not (3, 10) <= sys.version_info[:2] <= (3, 12):
    found = ".".join(map(str, sys.version_info[:2]))
    sys.exit(
        "make setup: Python 3.10, 3.11 or 3.12 is needed, this is " + found + ". "
        "Name one:  make setup PYTHON=python3.12"
    )

from bootstrap.plan import main

sys.exit(main())

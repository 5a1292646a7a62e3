"""The command `python3 -m bootstrap`, which `make setup` runs."""

import sys

# Checked before anything else is imported: the other modules use the syntax of these versions.
if not (3, 10) <= sys.version_info[:2] <= (3, 12):
    print(
        "make setup: Python 3.10, 3.11 or 3.12 is needed, this is %d.%d. Name one:  make setup PYTHON=python3.12"
        % sys.version_info[:2],
        file=sys.stderr,
    )
    sys.exit(1)

from bootstrap.plan import main  # noqa: E402

sys.exit(main())

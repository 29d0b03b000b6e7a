"""``python -m minitorch``: the same as the ``minitorch`` command."""

import sys

from minitorch.cli import main

if __name__ == "__main__":
    sys.exit(main())

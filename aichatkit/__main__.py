"""`python -m aichatkit`."""

import sys

from aichatkit.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""Run the fault matrix under gevent: `python tests/faults/run_gevent.py [pytest options]`."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Patch first: whatever is imported before it keeps the blocking sockets and locks."""
    from gevent import monkey

    monkey.patch_all()
    import pytest

    # What gevent says of a queue without bound, which is what urllib3 is asked for, is that it is one.
    quiet = ["-W", "ignore:Queue(0) now equivalent:DeprecationWarning"]
    return pytest.main([str(Path(__file__).parent), "-p", "no:cacheprovider", *quiet, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())

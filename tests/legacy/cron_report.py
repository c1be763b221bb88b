"""A script for cron: it asks for every line of a file, and a run that was ended goes on where it was at the next one.

Usage: cron_report.py INPUT.csv OUTPUT.csv
"""

from __future__ import annotations

import logging
import sys

from aichatkit import ChatError, Client, ConfigurationError


def main(source: str, target: str) -> int:
    """Return 0 when every row has its answer, 1 when the next run should try again, 2 when a person must look."""
    # Cron mails what is printed, so only what went wrong is.
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    try:
        with Client(rate="120/min") as client:
            results = client.map(
                source, "Is this review good or bad? {review}", workers=4, resume=f"{target}.sqlite", budget=1.00
            )
    except ConfigurationError as error:
        logging.error("%s", error)
        return 2
    except ChatError as error:
        logging.error("the run stopped: %s", error)
        return 1
    results.save(target)
    for failed in results.failed:
        logging.warning("row %s: %s", failed.index, failed.error)
    return 1 if results.failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

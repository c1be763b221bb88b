"""Many questions at once on greenlets: patch first, then everything here works as with threads.

Usage: gevent_pool.py PROMPT...
"""

from gevent import monkey

monkey.patch_all()  # before anything that opens a connection is imported

import sys  # noqa: E402

from gevent.pool import Pool  # noqa: E402

from aichatkit import Client  # noqa: E402

with Client() as client:
    for reply in Pool(20).imap(client.ask, sys.argv[1:]):
        sys.stdout.write(f"{reply.text}\n")

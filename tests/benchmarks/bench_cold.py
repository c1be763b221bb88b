"""CPU of a whole process up to its first text: `bench_cold.py CLIENT cold URL JSON` prints JSON."""

import json
import sys
import time

from bench_clients import CLIENTS
from bench_wires import Case

if __name__ == "__main__":
    next(CLIENTS[sys.argv[1]](sys.argv[3], Case(**json.loads(sys.argv[4]))).stream())
    cpu = time.process_time() * 1e3
    sys.stdout.write("\n" + json.dumps({"cpu ms": cpu}) + "\n")

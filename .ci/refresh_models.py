"""Update aichatkit/catalog/models.json from the newest price tables: `python .ci/refresh_models.py`.

It downloads the wheels of the sources with pip and reads them as archives. A price that changed by more than three
times, a model that vanished and a new service stop it until a person has looked: `--accept` takes them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from datetime import date
from pathlib import Path

from model_data import build, sources

_FILE = Path(__file__).resolve().parent.parent / "aichatkit" / "catalog" / "models.json"
_REPORT = Path(__file__).with_name("model_data") / "differences.txt"
_MAX_BYTES = 200_000


def main() -> int:
    """Write the file and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", type=Path, help="folder with wheels; what it lacks is downloaded into it")
    parser.add_argument("--date", default=date.today().isoformat(), help="date of the data (default: today)")
    parser.add_argument("--accept", action="store_true", help="write the file despite the alarms")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wheels = args.wheels or Path(folder)
        sources.download(wheels)
        found = sources.read(wheels, day=args.date)
    records = build.build(found, json.loads(build.CURATED.read_text("utf-8")))
    text = build.render(records, found, args.date)
    if len(text.encode()) > _MAX_BYTES:
        sys.exit(f"models.json would have {len(text.encode()):,} bytes, more than {_MAX_BYTES:,}")
    before = json.loads(_FILE.read_text("utf-8")) if _FILE.exists() else {"about": {"date": ""}, "models": []}
    if args.date < before["about"]["date"]:
        sys.exit(f"the data would be older than the current data of {before['about']['date']}")
    alarms = list(build.iter_alarms({record["id"]: record for record in before["models"]}, records))
    for alarm in alarms:
        sys.stderr.write(f"look: {alarm}\n")
    if alarms and not args.accept:
        return 1
    _FILE.write_text(text, "utf-8")
    differences = list(build.iter_differences(records, found))
    lines = [f"{d.name} {d.rate}: {d.ours:g}, {d.source} {d.theirs:g}\n" for d in differences]
    _REPORT.write_text("".join(lines), "utf-8")
    sys.stderr.write(f"{len(records)} models, {len(text.encode()):,} bytes, {len(differences)} differences\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

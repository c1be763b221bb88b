"""Measure aichatkit against what people write by hand and against other packages, and print a table.

    python tests/benchmarks/bench.py --quick          about a minute, no other packages
    python tests/benchmarks/bench.py                  everything; installs the others for itself first
    python tests/benchmarks/bench.py --only threads   the rows with this in their titles

Every figure comes from a process of its own; the clients of a row take turns, and a ratio is the median over rounds of
client / requests in the same round. The results are written as Markdown, JSON and, with matplotlib, as a picture.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

from bench_report import Result, as_markdown, draw
from bench_suite import PEERS, Row, suite

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "aichatkit-benchmarks"
#: What a client's first use is made of, for clients that are measured by the import alone.
IMPORTS = {
    "aichatkit": "from aichatkit import Client; Client()",
    "aichatkit package": "import aichatkit",
}
_TIMED = """
import sys, time
seen, start = len(sys.modules), time.process_time()
{code}
taken, count = time.process_time() - start, len(sys.modules) - seen
import json
print(json.dumps({{"cpu ms": taken * 1e3, "modules": count}}))
"""
#: What is installed with a package: its requirements and theirs, those of extras left out.
_WEIGHED = """
import json, os, re
from importlib import metadata

def weigh(name, seen):
    key = re.sub("[-_.]+", "-", name).lower()
    try:
        found = None if key in seen else metadata.distribution(name)
    except metadata.PackageNotFoundError:
        found = None
    if found is None:
        return 0
    seen.add(key)
    size = sum(path.stat().st_size for path in map(found.locate_file, found.files or ()) if path.is_file())
    needs = (need for need in found.requires or () if "extra ==" not in need)
    return size + sum(weigh(re.match(r"[\\w.-]+", need).group(), seen) for need in needs)

seen, folder = set(), {folder!r}
own = sum(os.path.getsize(os.path.join(top, name)) for top, _, names in os.walk(folder) for name in names
          if not name.endswith(".pyc")) if folder else 0
size = own + sum(weigh(name, seen) for name in {names!r})
print(json.dumps({{"MB": size / 1e6, "packages": len(seen) + bool(folder)}}))
"""


def main() -> int:
    """Run what the command line asks for."""
    options = _options()
    own = environment("own", ["requests", "tenacity"])
    peers = environment("peers", PEERS) if not options.quick or options.peers else None
    rows = [row for row in suite(quick=options.quick, megabytes=options.megabytes) if options.only in row.title]
    results = []
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder)) as server:
        for row in rows:
            _say(f"{row.title} ...")
            results.append(Result(row.title, _take_turns(row, server, own, peers)))
    told = _machine(own)
    options.out.mkdir(parents=True, exist_ok=True)
    table = as_markdown(results, told)
    (options.out / "benchmarks.md").write_text(table, encoding="utf-8")
    kept = {"machine": told, "results": {result.title: result.samples for result in results}}
    (options.out / "benchmarks.json").write_text(json.dumps(kept, indent=1), encoding="utf-8")
    picture = draw(results, options.out / "benchmarks.png")
    sys.stdout.write(f"{table}\nwritten to {options.out}{'' if picture else ', without a picture'}\n")
    return 0


class Server:
    """The server's process, and the certificate it speaks TLS with."""

    def __init__(self, folder: Path) -> None:
        self.authority = folder / "authority.pem"
        self._certificate = folder / "server.pem"

    def __enter__(self) -> Server:
        command = [sys.executable, str(HERE / "bench_server.py")]
        if self._make_certificate():
            command.append(str(self._certificate))
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        assert self._process.stdout is not None
        self.port, self.tls_port = json.loads(self._process.stdout.readline())
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.communicate(timeout=10)

    def _make_certificate(self) -> bool:
        try:
            import certifi
            import trustme
        except ImportError:
            _say("no rows over TLS: trustme and certifi are missing")
            return False
        authority = trustme.CA()
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(self._certificate))
        # As many authorities as a real client has to read.
        self.authority.write_bytes(Path(certifi.where()).read_bytes() + authority.cert_pem.bytes())
        return True


def _take_turns(row: Row, server: Server, own: Path, peers: Path | None) -> dict[str, list[dict[str, float]]]:
    samples: dict[str, list[dict[str, float]]] = {}
    if row.tls and not server.tls_port:
        return samples
    clients = [name for name in row.clients if name not in PEERS or peers is not None]
    for turn in range(row.rounds):
        for name in clients if turn % 2 == 0 else clients[::-1]:
            python = peers if name in PEERS and peers is not None else own
            found = _measure(row, name, server, python)
            if found is not None:
                samples.setdefault(name, []).append(found)
    return samples


def _measure(row: Row, name: str, server: Server, python: Path) -> dict[str, float] | None:
    """Return what one process found; None, and a word about it, where it failed."""
    url = f"https://127.0.0.1:{server.tls_port}" if row.tls else f"http://127.0.0.1:{server.port}"
    if row.measure == "import":
        command = [str(python), "-c", _TIMED.format(code=IMPORTS.get(name, f"import {name}"))]
    elif row.measure == "installed":
        # This package is used from its tree, and is as large as that.
        folder, names = (str(ROOT / "aichatkit"), ["requests", "tenacity"]) if name == "aichatkit" else ("", [name])
        command = [str(python), "-c", _WEIGHED.format(folder=folder, names=names)]
    else:
        script = HERE / ("bench_cold.py" if row.measure == "cold" else "bench_child.py")
        command = [str(python), str(script), name, row.measure, url, json.dumps(row.told), str(server.port)]
    trusted = dict.fromkeys(("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"), str(server.authority)) if row.tls else {}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=row.timeout, env=surroundings(trusted))
    except subprocess.TimeoutExpired:
        _say(f"  {name}: not done after {row.timeout:.0f} s")
        return None
    if done.returncode:
        _say(f"  {name}: {(done.stderr.strip().splitlines() or ['failed'])[-1][:200]}")
        return None
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def surroundings(more: dict[str, str]) -> dict[str, str]:
    """The package from this tree, with its byte code kept; neither proxies nor keys of the user."""
    dropped = ("_PROXY", "_KEY", "_TOKEN", "_CA_BUNDLE", "_BASE_URL", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.upper().endswith(dropped)}
    paths = {"PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(CACHE / "bytecode")}
    return {**kept, **paths, "LITELLM_LOCAL_MODEL_COST_MAP": "True", **more}


def environment(name: str, packages: Any) -> Path:
    """Return the Python of a virtual environment of the benchmark's own, made on first use."""
    place = CACHE / f"{name}-{sys.version_info[0]}.{sys.version_info[1]}"
    python = place / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not (place / "complete").exists():
        _say(f"installing {', '.join(packages)} into {place} ...")
        venv.create(place, with_pip=True, clear=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *packages], check=True)
        (place / "complete").touch()
    return python


def _machine(python: Path) -> dict[str, Any]:
    listed = subprocess.run([str(python), "-m", "pip", "list", "--format=json"], capture_output=True, check=True)
    found = {package["name"].lower(): package["version"] for package in json.loads(listed.stdout)}
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    names = ("requests", "urllib3", "tenacity")
    packages = ", ".join(f"{name} {found[name]}" for name in names)
    return {"python": platform.python_version(), "cores": os.cpu_count(), "load": round(load, 1), "packages": packages}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="smaller sizes, no other packages")
    parser.add_argument("--peers", action="store_true", help="compare with the other packages also when quick")
    parser.add_argument("--only", default="", help="rows with this in their titles")
    parser.add_argument("--megabytes", type=int, default=200, help="size of the largest answer (1000 for a gigabyte)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks"), help="folder for the results")
    return parser.parse_args()


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())

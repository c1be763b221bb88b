"""Make the pictures of the docs from the real thing: `python docs/screenshots.py [terminal ...]` writes docs/images/.

It needs the extra `rich`, and tmux and Chromium on the path; the notebook needs jupyterlab, ipywidgets, tqdm and
playwright; the page with Python in it needs playwright, and AICHATKIT_PYODIDE must be the path of the npm package's
`pyodide.mjs`; the pages need the extra `docs`. A sandbox answers, so that no key is needed and every run looks the
same.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from aichatkit.sandbox import Sandbox

IMAGES = Path(__file__).parent / "images"
WIDTH, HEIGHT = 88, 32
PATIENCE = 20.0
ANSWERS = (
    "## Lisbon in a day\n\n"
    "1. **Alfama**: get lost in the *oldest* quarter.\n"
    "2. **Belém**: the tower, and the pastries.\n"
    "3. **Tram 28**: go early, it is full by ten.\n\n"
    "| where | how long |\n|---|---|\n| Alfama | 3 hours |\n| Belém | 2 hours |\n",
    "- Sales rose by **4 %**.\n- Costs did not.\n- Nobody knows why.\n",
)
CODE = (
    "Braces are safe in a cell:\n\n```python\ndef greet(name: str) -> str:\n"
    '    return f"Hello {name}!"\n```\n\nCall it with `greet("Ada")`.\n'
)
CELLS = (
    "%load_ext aichatkit\nimport aichatkit as ai\n\nchat = ai.chat()",
    'chat.show("What should I see in Lisbon?")',
    '%%chat -o answer -s "You write Python."\nWrite a function that fills {name} into f"Hello {name}!"',
    'ai.map(["Capital of France?", "Capital of Spain?", "Capital of Italy?"])',
    'ai.ask("Hi", model="opnai/gpt-6-luna")',
)
LISBON = "Start in Alfama, the oldest quarter, then take tram 28 up the hill. Belém has the tower and the pastries."
PAGE = """<!doctype html><meta charset="utf-8"><title>aichatkit</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 24px; color: #1b1f24; background: #fff }
pre { font: 14px/1.5 ui-monospace, monospace; background: #f4f6f8; border: 1px solid #d8dee4; border-radius: 6px;
      padding: 12px; white-space: pre-wrap; margin: 8px 0 16px }
b { font-size: 13px; color: #57606a; font-weight: 600 }
</style>
<b>Python 3.14 in this page</b>
<pre>import aichatkit as ai

client = ai.Client("openai", api_key=key)
for piece in client.stream("What should I see in Lisbon?"):
    print(piece, end="")</pre>
<b>Output</b>
<pre id="output"></pre>
<script>
const output = document.getElementById("output");
new Worker("/worker.mjs", { type: "module" }).onmessage = (event) => { output.textContent += event.data; };
</script>"""
WORKER = """import { loadPyodide } from "/pyodide/pyodide.mjs";
const pyodide = await loadPyodide();
pyodide.unpackArchive(await (await fetch("/site.zip")).arrayBuffer(), "zip", { extractDir: "/site" });
pyodide.globals.set("write", (text) => postMessage(text));
await pyodide.runPythonAsync(`
import sys
sys.path.insert(0, "/site")
import aichatkit as ai

client = ai.Client("openai", api_key="sk-page", base_url="http://page.test/v1")
for piece in client.stream("What should I see in Lisbon?"):
    write(piece)
`);"""
TYPES = {".html": "text/html", ".mjs": "text/javascript", ".wasm": "application/wasm", ".json": "application/json"}
COMMANDS = (
    'aichatkit "What should I see in Lisbon?"',
    'cat report.txt | aichatkit --usage "The main points, please."',
)


def terminal() -> None:
    """The command line in a terminal: Markdown as it is drawn there, a pipe, and what it cost."""
    with tempfile.TemporaryDirectory() as folder, Sandbox() as sandbox:
        (Path(folder) / "report.txt").write_text("Sales rose by 4 %. Costs did not.\n", encoding="utf-8")
        sandbox.says(ANSWERS)
        settings = {
            "HOME": folder,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HISTFILE": "/dev/null",
            "PS1": "$ ",
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "AICHATKIT_MODEL": "openai/gpt-6-luna",
            "OPENAI_API_KEY": "any",
            "OPENAI_BASE_URL": f"{sandbox.url}/v1",
        }
        screen = Screen(folder, settings)
        try:
            for command in COMMANDS:
                screen.type(command)
            ansi = screen.text()
        finally:
            screen.close()
    IMAGES.mkdir(exist_ok=True)
    photograph(as_svg(ansi, "aichatkit"), IMAGES / "terminal.png")


class Screen:
    """A terminal of its own, in a tmux of its own."""

    def __init__(self, folder: str, settings: dict[str, str]) -> None:
        self._tmux = ["tmux", "-f", "/dev/null", "-S", f"{folder}/tmux"]
        shell = shlex.join(["env", *(f"{name}={value}" for name, value in settings.items()), "bash", "--norc"])
        size = ["-x", str(WIDTH), "-y", str(HEIGHT)]
        self._run("new-session", "-d", *size, "-c", folder, shell)
        self._await_prompt()

    def type(self, line: str) -> None:
        """Type a line and wait until the prompt is there again."""
        self._run("send-keys", "-l", line)
        self._run("send-keys", "Enter")
        self._await_prompt()

    def text(self) -> str:
        """What is on the screen, with its colours."""
        return self._run("capture-pane", "-p", "-e")

    def close(self) -> None:
        """End the terminal."""
        self._run("kill-server")

    def _await_prompt(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            time.sleep(0.3)
            if (
                self._run("capture-pane", "-p").rstrip("\n").endswith("\n$")
                or self._run("capture-pane", "-p").strip() == "$"
            ):
                return
        raise SystemExit(f"no prompt came within {PATIENCE:g} s; the screen is\n{self.text()}")

    def _run(self, *arguments: str) -> str:
        return subprocess.run([*self._tmux, *arguments], check=True, capture_output=True, text=True).stdout


def as_svg(ansi: str, title: str) -> str:
    """Draw what a terminal shows; fonts are those of this machine."""
    from rich.console import Console
    from rich.text import Text

    console = Console(record=True, width=WIDTH, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115
    console.print(Text.from_ansi(ansi.rstrip().removesuffix("$").rstrip()))
    return re.sub(r"@font-face \{.*?\}", "", console.export_svg(title=title), flags=re.DOTALL).replace(
        "Fira Code", "DejaVu Sans Mono"
    )


def photograph(svg: str, target: Path) -> None:
    """Turn a drawing into a PNG with Chromium, without a network."""
    width, height = (round(float(size)) for size in re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups())
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        page.write_text(f'<meta charset="utf-8"><body style="margin:0">{svg}', encoding="utf-8")
        shoot(str(page), target, width, height)


def shoot(page: str, target: Path, width: int, height: int) -> None:
    """Take a picture of a file with Chromium."""
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [
                *(shutil.which("chromium") or "chromium", "--headless=new", "--no-sandbox", "--disable-gpu"),
                *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
                *("--hide-scrollbars", "--default-background-color=00000000", f"--user-data-dir={profile}"),
                *(f"--window-size={width},{height}", f"--screenshot={target}", Path(page).as_uri()),
            ],
            check=True,
            capture_output=True,
            timeout=120,
        )


def notebook() -> None:
    """A notebook in JupyterLab: an answer that grew, a cell magic, results, and an error."""
    with tempfile.TemporaryDirectory() as folder, Sandbox() as sandbox:
        write_notebook(Path(folder) / "aichatkit.ipynb")
        quiet = Path(folder) / "JUPYTER_CONFIG_DIR" / "labconfig" / "page_config.json"
        quiet.parent.mkdir(parents=True)
        quiet.write_text('{"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": true}}')
        sandbox.says([*ANSWERS[:1], CODE, *("Paris.", "Madrid.", "Rome.")])
        home = {
            name: f"{folder}/{name}" for name in ("HOME", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")
        }
        service = {"AICHATKIT_MODEL": "openai", "OPENAI_API_KEY": "any", "OPENAI_BASE_URL": f"{sandbox.url}/v1"}
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        lab = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser", f"--port={port}"),
                *("--ip=127.0.0.1", "--IdentityProvider.token=", "--LabApp.extension_manager=readonly"),
            ],
            cwd=folder,
            env={**os.environ, **home, **service},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            IMAGES.mkdir(exist_ok=True)
            run_in_browser(f"http://127.0.0.1:{port}/lab/tree/aichatkit.ipynb?reset", IMAGES / "notebook.png")
        finally:
            lab.terminate()
            lab.wait()


def write_notebook(path: Path) -> None:
    """Write a notebook that was not run yet."""
    empty = {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": []}
    cells = [{**empty, "id": f"cell-{number}", "source": source} for number, source in enumerate(CELLS)]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    record = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(record), encoding="utf-8")


def run_in_browser(url: str, target: Path) -> None:
    """Run all cells and take a picture of the page when the last one has ended."""
    from playwright.sync_api import Error, sync_playwright

    flags = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--headless=new", *flags])
        page = browser.new_page(viewport={"width": 1000, "height": 1040})
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                page.goto(url)
                break
            except Error:
                # The server is not up yet.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.3)
        page.locator(".jp-Notebook").wait_for(timeout=60_000)
        page.locator("text=Python 3 >> visible=true").first.wait_for(timeout=60_000)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        # The last cell ends with an error.
        page.locator("[data-mime-type='application/vnd.jupyter.stderr']").first.wait_for(timeout=60_000)
        page.keyboard.press("Control+b")
        page.locator(".jp-Cell").first.scroll_into_view_if_needed()
        page.wait_for_timeout(1500)
        page.screenshot(path=str(target))
        browser.close()


def browser() -> None:
    """A page with Python in it: what it runs, and the answer that came."""
    from playwright.sync_api import sync_playwright

    pyodide = Path(os.environ["AICHATKIT_PYODIDE"]).parent
    files = {"/": PAGE.encode(), "/worker.mjs": WORKER.encode(), "/site.zip": packed()}
    files |= {f"/pyodide/{file.name}": file.read_bytes() for file in pyodide.iterdir()}
    with Sandbox() as sandbox, sync_playwright() as driver:
        sandbox.says([LISBON])

        def answer(route: Any) -> None:
            path = urlsplit(route.request.url).path
            if route.request.method == "POST":
                headers = {name: route.request.headers[name] for name in ("authorization", "content-type")}
                asked = requests.post(
                    f"{sandbox.url}{path}", route.request.post_data, headers=headers, timeout=PATIENCE
                )
                route.fulfill(body=asked.content, content_type=asked.headers["Content-Type"])
            else:
                suffix = Path(path).suffix or ".html"
                route.fulfill(body=files[path], content_type=TYPES.get(suffix, "application/octet-stream"))

        chromium = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 760, "height": 330}, device_scale_factor=2)
        page.context.route("http://page.test/**", answer)
        page.goto("http://page.test/")
        page.get_by_text(LISBON[-20:]).wait_for(timeout=120_000)
        IMAGES.mkdir(exist_ok=True)
        page.screenshot(path=str(IMAGES / "browser.png"))
        chromium.close()


def packed() -> bytes:
    """Return a zip file of the packages that a page needs, without what was compiled for this machine."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("aichatkit", "certifi", "charset_normalizer", "idna", "requests", "tenacity", "urllib3"):
            root = Path(find_spec(name).origin).parent
            for file in root.rglob("*"):
                if file.suffix in (".py", ".json", ".pem"):
                    archive.write(file, Path(name) / file.relative_to(root))
    return buffer.getvalue()


def pages() -> None:
    """Four pages of the docs as a reader sees them, in build/pages: to be looked at, not to be shown."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "sphinx", "-q", "-b", "html", IMAGES.parent, folder], check=True)
        target = IMAGES.parent.parent / "build" / "pages"
        target.mkdir(parents=True, exist_ok=True)
        for name in ("index", "quick-start", "parameters", "reference"):
            shoot(f"{folder}/{name}.html", target / f"{name}.png", 1200, 1600)


PICTURES = {"terminal": terminal, "notebook": notebook, "browser": browser, "pages": pages}


def main(names: list[str]) -> None:
    """Make the pictures of these names, all of them without any."""
    for name in names or list(PICTURES):
        PICTURES[name]()


if __name__ == "__main__":
    main(sys.argv[1:])

"""Replace the OpenAI model in the examples of README and docs: `python .ci/rename_example_model.py gpt-6.1-terra`.

README names it in one sentence, "The examples use `openai/...`"; from there the tests take the name that all examples
must have.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_SENTENCE = re.compile(r"^The examples use `openai/([^`]+)`", re.MULTILINE)
_PLACES = ("README.md", "docs/*.md", "docs/*.py", "aichatkit/__init__.py")


def main(arguments: list[str]) -> int:
    """Rename the model in every example and return the exit code."""
    if len(arguments) != 1:
        sys.exit(__doc__)
    (new,) = arguments
    found = _SENTENCE.search((ROOT / "README.md").read_text("utf-8"))
    if found is None:
        sys.exit("README.md has no sentence that begins with: The examples use `openai/")
    models = json.loads((ROOT / "aichatkit/catalog/models.json").read_text("utf-8"))["models"]
    if f"openai/{new}" not in {record["id"] for record in models}:
        sys.exit(f"the catalog has no openai/{new}")
    old = re.compile(rf"(?<![\w.-]){re.escape(found[1])}(?![\w-]|\.\w)")
    for path in sorted(path for place in _PLACES for path in ROOT.glob(place)):
        text = path.read_text("utf-8")
        renamed, count = old.subn(new, text)
        if count:
            path.write_text(renamed, "utf-8")
            sys.stdout.write(f"{path.relative_to(ROOT)}: {count}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Settings of Sphinx: `sphinx-build -W -b html docs build/docs`, with the extra `docs`; no network is used."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx

from aichatkit import __version__
from aichatkit.registry import registry

project = "aichatkit"
author = "The aichatkit authors"
project_copyright = author
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

# Headings can be linked to from other pages.
myst_heading_anchors = 3

# Docstrings are plain text for `help()`: one kind of backtick, which marks code.
default_role = "code"
autodoc_member_order = "bysource"
# Longer signatures have one option in each line.
python_maximum_signature_line_length = 100
# Inherited from `requests` and `dict`, whose docstrings are written for other tools.
autodoc_inherit_docstrings = False

# What is in quotes is copied into programs.
smartquotes = False

html_theme = "furo"
html_title = f"aichatkit {release}"
html_copy_source = False
html_show_sphinx = False


class Providers(Directive):
    """The table of providers, as the registry knows them."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        lines = [".. list-table::", "   :header-rows: 1", ""]
        for row in [("name", "default model", "key", "notes"), *map(_row, registry.importable())]:
            lines += [f"   {'  -' if place else '* -'} {cell}" for place, cell in enumerate(row)]
        holder = nodes.container()
        self.state.nested_parse(StringList(lines, source="providers"), self.content_offset, holder)
        return [holder]


def _row(kind: Any) -> tuple[str, ...]:
    keys = ", ".join(f"``{name}``" for name in kind.key_variables()) if kind.needs_key else ""
    notes = {
        "not working": not kind.working,
        "in one piece": not kind.supports_stream,
        "draws": bool(kind.image_models),
        "local": kind.direct,
    }
    model = f"``{kind.default_model}``" if kind.default_model else ""
    return f"``{kind.name}``", model, keys or "none", "; ".join(note for note, holds in notes.items() if holds)


def setup(app: Sphinx) -> None:
    """Make the directive known."""
    app.add_directive("providers", Providers)

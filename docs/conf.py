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
autodoc_preserve_defaults = True
# Inherited from `requests` and `dict`, whose docstrings are written for other tools.
autodoc_inherit_docstrings = False

html_theme = "furo"
html_title = f"aichatkit {release}"
html_copy_source = False
html_show_sphinx = False


class Providers(Directive):
    """The table of providers, as the registry knows them."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        lines = [".. list-table::", "   :header-rows: 1", ""]
        for row in [("name", "default model", "key", "working", "streams", "draws"), *map(_row, registry.importable())]:
            lines += [f"   {'-' if place else '* -'} {cell}" for place, cell in enumerate(row)]
        lines = [line.replace("   - ", "     - ") if line.startswith("   - ") else line for line in lines]
        holder = nodes.container()
        self.state.nested_parse(StringList(lines, source="providers"), self.content_offset, holder)
        return [holder]


def _row(kind: Any) -> tuple[str, ...]:
    keys = ", ".join(f"``{name}``" for name in kind.key_variables()) if kind.needs_key else ""
    model = f"``{kind.default_model}``" if kind.default_model else ""
    draws = "yes" if kind.image_models else ""
    return (
        f"``{kind.name}``",
        model,
        keys or "none",
        *("yes" if v else "no" for v in (kind.working, kind.supports_stream)),
        draws,
    )


def setup(app: Sphinx) -> None:
    """Make the directive known."""
    app.add_directive("providers", Providers)

"""Settings of Sphinx: `sphinx-build -W -b html docs build/docs`, with the extra `docs`; no network is used."""

from __future__ import annotations

from aichatkit import __version__

project = "aichatkit"
author = "The aichatkit authors"
project_copyright = author
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
nitpicky = True

# Headings can be linked to from other pages.
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

# Docstrings are plain text for `help()`: one kind of backtick, which marks code.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True

html_theme = "furo"
html_title = f"aichatkit {release}"
html_copy_source = False
html_show_sphinx = False

"""`%load_ext aichatkit`: the magics `%chat` and `%%chat` of IPython and Jupyter."""

from aichatkit.notebook.magics import load_ipython_extension, unload_ipython_extension

__all__ = ["load_ipython_extension", "unload_ipython_extension"]

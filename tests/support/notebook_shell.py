"""An IPython shell that runs inside the test and records everything it displays."""

from __future__ import annotations

import atexit
from typing import Any


class Outputs:
    """The outputs a shell displayed: each in its final state, and every update."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.shown: list[dict[str, Any]] = []
        self.updates = 0
        self._places: dict[str, int] = {}

    def publish(self, data: dict[str, Any], metadata: Any = None, *, transient: Any = None, **options: Any) -> None:
        """Record an output, or an update that replaces one."""
        place = (transient or {}).get("display_id")
        if options.get("update"):
            self.updates += 1
            self.shown[self._places[place]] = data
        else:
            self._places[place] = len(self.shown)
            self.shown.append(data)

    @property
    def markdown(self) -> list[str]:
        """The Markdown of all outputs, in order."""
        return [data.get("text/markdown", "") for data in self.shown]


def make_shell(folder: Any) -> Any:
    """Return an IPython shell without a history file; `shell.outputs` records what it displays."""
    from IPython.core.displaypub import DisplayPublisher
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    class Publisher(DisplayPublisher):
        def publish(self, data: Any, *args: Any, **options: Any) -> None:
            self.shell.outputs.publish(data, **{"transient": None, **options})

    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config, ipython_dir=str(folder))
    shell.outputs = Outputs(shell)
    shell.display_pub = Publisher(shell=shell)
    return shell


def drop_shell(shell: Any) -> None:
    """Remove every trace of a shell."""
    # At exit, each shell would collect the garbage of the whole process.
    atexit.unregister(shell.atexit_operations)
    shell.restore_sys_module_state()
    type(shell).clear_instance()

"""Tool calling: functions a model may call."""

from aichatkit.tools.functions import Toolbox

__all__ = ["Toolbox"]

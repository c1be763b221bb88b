"""Every wire the sandbox speaks, in the order their routes are looked up."""

from __future__ import annotations

from aichatkit.sandbox.wires.aichat import Aichat
from aichatkit.sandbox.wires.aichatfree import AIChatFree
from aichatkit.sandbox.wires.aichatonline import AiChatOnline, AiChatOnlineWordPress
from aichatkit.sandbox.wires.aichats import AiChats
from aichatkit.sandbox.wires.base import Call, Route, Settings, Wire
from aichatkit.sandbox.wires.chatgptt import ChatGptt
from aichatkit.sandbox.wires.openai import OpenAIChat, OpenAIWire

__all__ = ["WIRES", "Call", "Route", "Settings", "Wire"]

WIRES: tuple[type[Wire], ...] = (
    AiChats,
    AiChatOnline,
    AiChatOnlineWordPress,
    Aichat,
    AIChatFree,
    ChatGptt,
    OpenAIChat,
    OpenAIWire,
)

"""Every protocol the sandbox speaks, in the order in which routes are matched."""

from __future__ import annotations

from aichatkit.sandbox.wires.ai_power import AIPower
from aichatkit.sandbox.wires.aichat import Aichat
from aichatkit.sandbox.wires.aichatfree import AIChatFree
from aichatkit.sandbox.wires.aichatonline import AiChatOnline, AiChatOnlineWordPress
from aichatkit.sandbox.wires.aichats import AiChats
from aichatkit.sandbox.wires.anthropic import Anthropic
from aichatkit.sandbox.wires.base import Call, Route, Settings, Wire
from aichatkit.sandbox.wires.chatgptt import ChatGptt
from aichatkit.sandbox.wires.cohere import Cohere
from aichatkit.sandbox.wires.decisions import GoogleDecisions, OpenAIDecisions, SystemOne
from aichatkit.sandbox.wires.embeddings import (
    CohereEmbeddings,
    GeminiEmbeddings,
    OllamaEmbeddings,
    OpenAIEmbeddings,
)
from aichatkit.sandbox.wires.gemini import Gemini
from aichatkit.sandbox.wires.mistral_conversations import MistralConversations
from aichatkit.sandbox.wires.ollama import Ollama
from aichatkit.sandbox.wires.openai import OpenAIModels
from aichatkit.sandbox.wires.openai_chat import OpenAIChat
from aichatkit.sandbox.wires.openai_images import OpenAIImages
from aichatkit.sandbox.wires.openai_responses import OpenAIResponses
from aichatkit.sandbox.wires.vertex_claude import VertexClaude

__all__ = ["WIRES", "Call", "Route", "Settings", "Wire"]

#: OpenAI's model list matches any path with its suffix, so it comes last.
WIRES: tuple[type[Wire], ...] = (
    AiChats,
    AiChatOnline,
    AiChatOnlineWordPress,
    Aichat,
    AIChatFree,
    AIPower,
    ChatGptt,
    OpenAIChat,
    OpenAIResponses,
    MistralConversations,
    Anthropic,
    VertexClaude,
    Gemini,
    Ollama,
    Cohere,
    CohereEmbeddings,
    GeminiEmbeddings,
    OllamaEmbeddings,
    OpenAIEmbeddings,
    GoogleDecisions,
    OpenAIDecisions,
    SystemOne,
    OpenAIImages,
    OpenAIModels,
)

"""Conversations: `Chat` with its history, and trimming the history to a token limit."""

from aichatkit.chats.chat import Chat

__all__ = ["Chat"]

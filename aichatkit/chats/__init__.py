"""Conversations: a client and a history."""

from aichatkit.chats.chat import Chat

__all__ = ["Chat"]

"""Conversations with one client: history, saving and trimming."""

from aichatkit.chats.chat import Chat

__all__ = ["Chat"]

"""Chats: conversations with one client, their history and its trimming."""

from aichatkit.chats.chat import Chat

__all__ = ["Chat"]

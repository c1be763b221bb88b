"""Request -> response -> bytes: the only step that talks HTTP."""

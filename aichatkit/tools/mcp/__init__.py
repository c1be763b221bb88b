"""MCP servers as tools, over HTTP or a child process, without an event loop."""

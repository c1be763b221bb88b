"""Tool calling: functions a model may call, and MCP servers."""

"""(Status, headers, body) -> typed error."""

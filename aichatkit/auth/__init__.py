"""Sign-in: functions that return API keys, and objects that sign requests."""

"""Public price tables -> the records of `aichatkit/catalog/models.json`; run by `refresh_models.py`."""

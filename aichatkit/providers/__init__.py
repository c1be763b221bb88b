"""The providers, one module each; a module is imported when its provider is first used."""

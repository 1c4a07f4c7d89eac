"""The rules: entities and values in plain Python, importing the standard library only."""

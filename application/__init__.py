"""The use cases: one small class each, depending on the domain and on ports."""

"""Hashing passwords, issuing and believing access tokens, making secrets, and knowing leaked passwords."""

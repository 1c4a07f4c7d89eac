"""Broadcasters: how the processes of one service hear each other."""

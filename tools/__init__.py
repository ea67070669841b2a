"""Servers for tests and for people who try things: not part of what is installed."""

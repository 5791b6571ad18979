"""Accounts and realtime events in one server."""

__version__ = "0.1.0"

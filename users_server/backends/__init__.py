"""Databases and brokers. Only ``app.py`` names a concrete one."""

"""Databases and brokers. Only ``app/`` names a concrete one."""

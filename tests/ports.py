"""Ports for servers that must be told theirs before they start."""

from __future__ import annotations

import random
import socket

LOWEST, HIGHEST = 12_000, 21_999
"""
Below the ports that the kernel gives to clients, which could take one before its server does. A Redis Cluster needs the
port that is 10,000 higher as well, and that is below them, too.
"""


def free_ports(count: int = 1) -> int:
    """The first of so many ports in a row that are free now."""
    while True:
        first = random.randint(LOWEST, HIGHEST - count)
        if all(is_free(first + number) for number in range(count)):
            return first


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

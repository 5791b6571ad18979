"""What a server asks of its own process: file descriptors, and a garbage collector that knows what stays."""

from __future__ import annotations

import gc
import resource

import structlog

log = structlog.stdlib.get_logger(__name__)

OTHER_DESCRIPTORS = 100
"""For the database, the listeners and the log."""

COLLECT_AFTER = (10_000, 20, 20)
"""Allocations before a young collection, and how many of each generation before the next older one."""


def raise_descriptor_limit(max_connections: int) -> None:
    """
    Raise the soft limit of open files to the hard one, and warn if ``max_connections`` cannot be reached with it.

    Each connection is a descriptor; the usual soft limit of 1,024 is there for programs that use select.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError) as error:
            log.warning("the limit of open files stays", limit=soft, error=str(error))
            hard = soft
    if hard != resource.RLIM_INFINITY and hard < max_connections + OTHER_DESCRIPTORS:
        log.warning(
            "fewer connections than websocket.maxConnections are possible",
            open_files=hard,
            max_connections=max_connections,
            hint="raise the hard limit of open files (ulimit -Hn, LimitNOFILE)",
        )


def keep_out_of_collections() -> None:
    """
    Call when the server has started: what exists now stays, and the collector need not look at it again.

    Connections hold no reference cycles, so collections find little; with the default thresholds those of the oldest
    generation would walk over all connections every few seconds.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)

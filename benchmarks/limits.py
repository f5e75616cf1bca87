"""What the kernel allows this process and those that it starts."""

from __future__ import annotations

import resource

WANTED = 24_000
"""Open files of one process: 10,000 connections and some."""


def raise_open_files() -> int:
    """Allow as many open files as are wanted, or as the kernel lets; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < WANTED:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (WANTED, max(hard, WANTED)))
        except (ValueError, PermissionError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, WANTED), hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]

"""Keeps what belongs to a job's process from copies of it, which a plugin makes that forks.

A copy may do what it was made for and leave, as the processes of a pool do. One that comes back from the plugin would
go on with the job: train it a second time, write its points and end it, without the threads that do all that. The
first thing of ours that such a copy comes to ends it, and the job is left to the process that was given it.
"""

from __future__ import annotations

import os

from acc.copies import end_unless

_original: int | None = None


def protect() -> None:
    """Make this process the one to which the job belongs."""
    global _original  # noqa: PLW0603 - a process has one job
    _original = os.getpid()


def end_if_copy() -> None:
    """End this process at once if it is a copy, made by ``os.fork``, of the one that the job belongs to."""
    if _original is not None:
        end_unless(_original)

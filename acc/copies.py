"""Ends copies of a process that a plugin makes by ``os.fork``, where they come back from the plugin."""

from __future__ import annotations

import os
import sys

COPY_ENDED = 70
"""Exit status of a copy that came back."""


def end_unless(original: int) -> None:
    """End this process at once unless its id is ``original``: else it is a copy of that one."""
    if os.getpid() == original:
        return
    sys.stderr.write(
        f"a copy of the job's process (os.fork, process {os.getpid()}) came back from the plugin and was ended; the "
        "job goes on in the process it began in. A child that a plugin forks has to end by itself (os._exit)\n"
    )
    sys.stderr.flush()
    os._exit(COPY_ENDED)

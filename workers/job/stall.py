"""Notices a training that makes no steps: somebody has to be told, since nobody else can tell it from a slow one."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.conf import settings

from acc.training.protocols import Alarm


class Stall:
    """Looks at the step that a training has reached; tells once each time it stands still for ACC_STALL_SECONDS.

    Nothing is ended: a step may take that long (a compiler at the first one, a very large model).
    """

    def __init__(self, step: Callable[[], int], tell: Callable[[Alarm], None]) -> None:
        self._step, self._tell = step, tell
        self._seen = -1
        self._since = time.monotonic()
        self._told = False

    def look(self, paused: bool) -> None:
        """Look now; a training that is paused is not expected to move."""
        step = self._step()
        if step != self._seen or paused:
            self._seen, self._since, self._told = step, time.monotonic(), False
        elif not self._told and time.monotonic() - self._since > settings.ACC_STALL_SECONDS:
            self._told = True
            self._tell(
                Alarm(
                    "stall",
                    step,
                    f"no step has ended for {settings.ACC_STALL_SECONDS:g} s since step {step}: one of the tasks or "
                    "the model takes long or hangs. A stop ends it within "
                    f"{settings.ACC_STOP_SECONDS:g} s, and what was reached before is kept",
                )
            )

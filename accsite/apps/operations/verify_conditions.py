"""What verifications are made of: conditions that hold, now or soon."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from acc.errors import AccError

T = TypeVar("T")
POLL_SECONDS = 0.05


class NotVerified(AccError):
    """Something was not as it must be; the sentence says what was seen and what was expected."""


def require(condition: object, text: str) -> None:
    """Raise NotVerified with ``text`` unless ``condition`` holds."""
    if not condition:
        raise NotVerified(text)


def there(found: T | None, text: str) -> T:
    """Return what was found; raises NotVerified with ``text`` if that is nothing."""
    if found is None:
        raise NotVerified(text)
    return found


def until(found: Callable[[], T | None], *, what: str, seconds: float) -> T:
    """Return what ``found`` returns as soon as it is true; raises NotVerified after ``seconds``."""
    end = time.monotonic() + seconds
    while True:
        value = found()
        if value:
            return value
        if time.monotonic() > end:
            raise NotVerified(f"waited {seconds:g} s for {what}")
        time.sleep(POLL_SECONDS)

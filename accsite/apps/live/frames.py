"""Point frames from a worker to the browsers that watch its job."""

from __future__ import annotations

from accsite.apps.live import sender


def publish(job_id: int, payload: bytes) -> None:
    """Send ``payload`` (``acc.wire``) to every page that watches the job; return at once, always.

    At most 256 frames wait; the oldest are dropped, and the ``seq`` in the payload tells the browser.
    """
    sender.frame(str(job_id), payload)


def flush(seconds: float = sender.EXIT_SECONDS) -> bool:
    """Wait until every frame and signal of this process is sent, at most ``seconds``; return whether all are.

    A process that ends with ``os._exit`` calls this first.
    """
    return sender.flush(seconds)

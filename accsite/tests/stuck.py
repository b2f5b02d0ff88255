"""The site, with an address at which a thread hears nothing for minutes."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from accsite.asgi import application as site


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer as the site does, but at ``/stuck``."""
    if scope.get("path") == "/stuck":
        await asyncio.shield(asyncio.to_thread(time.sleep, 300))
    await site(scope, receive, send)

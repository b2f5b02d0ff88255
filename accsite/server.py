"""What Daphne does not do by itself: say what is wrong with a request or a socket, and end when it is told to."""

from __future__ import annotations

import os
import threading
from typing import Any

import structlog
from daphne import http_protocol, ws_protocol
from twisted.internet import reactor
from twisted.web import http

from accsite.problems import refusal

LONGEST_LINE_BYTES = 16_384
HEADER_BYTES = 65_536
LINGER_SECONDS = 1.0
"""How long a refused client is listened to, so that it reads the answer before the connection is reset."""
END_SECONDS = 8.0
"""How long requests in progress may take after SIGTERM; the supervisor and the containers wait for 10 s."""
_WebSocketProtocol: Any = ws_protocol.WebSocketProtocol
_HTTPChannel: Any = http.HTTPChannel  # Twisted types few of its methods
log = structlog.get_logger(__name__)


class Channel(_HTTPChannel):  # type: ignore[misc]
    """A connection that answers where Twisted would only close it."""

    MAX_LENGTH = LONGEST_LINE_BYTES
    totalHeadersSize = HEADER_BYTES  # noqa: N815 - Twisted's name

    def __init__(self) -> None:
        super().__init__()
        self._request_line = b""
        self._refused = False

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        if not self._refused:
            super().dataReceived(data)

    def lineReceived(self, line: bytes) -> None:  # noqa: N802 - Twisted's name
        """Take the request line or a header; an empty line ends them."""
        self._request_line = (self._request_line or line) if line else b""
        super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: N802 - Twisted's name
        """Answer 414 or 431."""
        most = f"it may have {LONGEST_LINE_BYTES:,} bytes"
        if self._request_line:
            self._refuse(431, "A header of the request is too long", most)
        else:
            self._request_line = line
            self._refuse(414, "The address of the request is too long", most)

    def _respondToBadRequestAndDisconnect(self) -> None:  # noqa: N802 - Twisted's name
        if self._receivedHeaderSize > HEADER_BYTES:
            most = f"they may have {HEADER_BYTES:,} bytes"
            self._refuse(431, "The headers of the request are too long", most)
        else:
            self._refuse(400, "The request could not be read", "it is not HTTP")

    def _refuse(self, code: int, title: str, detail: str) -> None:
        if self._refused:
            return
        self._refused = True
        path = self._request_line.partition(b" ")[2].decode("latin-1")
        answer = refusal(path, code, title, detail)
        head = [
            f"HTTP/1.1 {code} {answer.reason_phrase}",
            f"Content-Type: {answer['Content-Type']}",
            f"Content-Length: {len(answer.content)}",
            "Connection: close",
        ]
        self.transport.write("\r\n".join([*head, "", ""]).encode() + answer.content)
        later: Any = reactor
        later.callLater(LINGER_SECONDS, self.loseConnection)


class Socket(_WebSocketProtocol):  # type: ignore[misc]
    """A socket that is closed with the reason, too, and not with its number alone."""

    def handle_reply(self, message: dict[str, Any]) -> None:
        reason = message.get("reason")
        if message.get("type") == "websocket.close" and reason and self.state == self.STATE_OPEN:
            self.sendClose(code=message.get("code") or 1000, reason=reason)
        else:
            super().handle_reply(message)


def _end_in_time() -> None:
    """Have this process end even if a request, a socket or a thread of it does not hear that it is over."""

    def end() -> None:
        log.warning("ended_with_requests_in_progress", after_seconds=END_SECONDS)
        os._exit(0)

    timer = threading.Timer(END_SECONDS, end)
    timer.daemon = True
    timer.start()


def adapt_daphne() -> None:
    """Let Daphne do so; it has no options for it."""
    http_protocol.HTTPFactory.protocol = Channel
    ws_protocol.WebSocketFactory.protocol = Socket
    trigger: Any = reactor
    trigger.addSystemEventTrigger("before", "shutdown", _end_in_time)

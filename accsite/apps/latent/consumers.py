"""The socket of a latent in the hand: a question a message, an answer a message, from the first touch to the last.

A message is a line of JSON, ``LatentQuestion`` or ``LatentAnswer`` of ``acc.messages``, and numbers (``desk.pack``):
latents are float32, pictures uint8. An answer repeats the ``id`` of its question.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import structlog
from typing_extensions import override

from acc.messages import LatentAnswer, LatentAsked, checked
from accsite.apps.latent import desk, selectors
from accsite.apps.live.hub import in_thread
from accsite.apps.live.sockets import CLOSE_POLICY, CLOSE_TOO_BIG, WINDOW_SECONDS, PageSocket, Window

ASKS = ("open", "start", "decode", "file")
AT_ONCE = 8
MAX_QUESTIONS = 2000
"""In the window of the live socket: four pictures at each frame, and a film strip beside them, are 1,600."""
MAX_SOCKETS = 16
"""Of one person at one time, in one process of the site."""
MAX_VERDICTS = 16
VERDICT_SECONDS = 1.0
"""After so long it is asked again who may see a checkpoint."""
NOT_SEEN = "there is no such checkpoint, or you may not see it"
PRUNED = "the weights of this checkpoint were pruned, so nothing can be drawn by it any more"
UNEXPECTED = (
    "this question could not be answered because of an error of the site, which is in its log; ask again"
)
ROOM = desk.MAX_LATENT_BYTES + 2048

log = structlog.get_logger(__name__)
# Not those of the live sockets, whose pages would wait for whoever drags a slider.
_threads = ThreadPoolExecutor(2, thread_name_prefix="latent")
_sockets: Counter[int] = Counter()  # by who has opened them


class Refused(Exception):
    """A question that is not answered; the text says what would be right."""


class LatentConsumer(PageSocket):
    """One page's latent. It waits for no other page, and none waits for it."""

    async def connect(self) -> None:
        """Accept a signed-in user whose page came from this very site; anybody else gets HTTP 403."""
        if not self.is_welcome():
            await self.close()
            return
        self.user_id, self.credential = self.scope["user"].pk, self.scope.get("credential")
        self.name = secrets.token_hex(8)
        self.verdicts: dict[int, tuple[float, selectors.Readable | None]] = {}
        self.asked: set[asyncio.Task[None]] = set()
        self.window = Window(MAX_QUESTIONS)
        await self.accept()
        if _sockets[self.user_id] >= MAX_SOCKETS:
            await self.close(CLOSE_POLICY, reason=f"at most {MAX_SOCKETS} latents in the hand; close a page")
            return
        _sockets[self.user_id] += 1
        self.counted = True

    @override
    async def disconnect(self, code: int) -> None:
        if getattr(self, "counted", False):
            self.counted = False
            _sockets[self.user_id] -= 1
            if not _sockets[self.user_id]:
                del _sockets[self.user_id]
        for task in getattr(self, "asked", ()):
            task.cancel()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Answer one question, beside those that are still being answered."""
        if len(bytes_data or b"") > ROOM or text_data is not None:
            await self.close(CLOSE_TOO_BIG, reason=f"a question is binary and has at most {ROOM} bytes")
            return
        if not self.window.takes():
            reason = f"at most {MAX_QUESTIONS} questions in {WINDOW_SECONDS:.0f} s; touch again to go on"
            await self.close(CLOSE_POLICY, reason=reason)
            return
        task = asyncio.create_task(self._reply(bytes_data or b""))
        self.asked.add(task)
        task.add_done_callback(self.asked.discard)

    async def _reply(self, message: bytes) -> None:
        number: Any = None
        try:
            header, body = desk.unpack(message)
            number = header.get("id")
            if len(self.asked) > AT_ONCE:
                raise Refused(f"at most {AT_ONCE} questions at once; wait for an answer")
            told, numbers = await desk.ask(await self._question(header), body)
        except (Refused, desk.NoAnswer) as error:
            told, numbers = {"error": str(error)}, b""
        except (ValueError, RecursionError):
            told, numbers = {"error": "this is no question: send a line of JSON, then numbers"}, b""
        except Exception:  # of a database that is locked, say: who asked is told, or waits for nothing
            log.exception("latent_question_broke")
            told, numbers = {"error": UNEXPECTED}, b""
        answer = cast(LatentAnswer, {**told, "id": number if type(number) is int else None})
        await self.send(bytes_data=desk.pack(checked(LatentAnswer, answer), numbers))

    async def _question(self, asked: dict[str, Any]) -> LatentAsked:
        """Return what is asked as it goes on, made of what was understood; raises Refused."""
        what = asked.get("ask")
        if what not in ASKS:
            raise Refused(f"{what!r} is no question; ask one of: {', '.join(ASKS)}")
        mine = await self._checkpoint(asked.get("checkpoint"))
        question: LatentAsked = {
            "ask": what,
            "checkpoint": mine.pk,
            "sha256": mine.sha256,
            "who": f"{self.name}:{mine.pk}:{'strip' if asked.get('strip') else ''}",
        }
        if asked.get("toward"):
            question["toward"] = (await self._checkpoint(asked["toward"])).pk
            question["part"] = _number(asked.get("part"), "part", 0, 1)
        if what == "start" and asked.get("dataset"):
            question["dataset"] = str(asked["dataset"])[:80]
            question["row"] = int(_number(asked.get("row", 0), "row", 0, 2**53))
        elif what == "start":
            question["seed"] = int(_number(asked.get("seed", 0), "seed", 0, 2**32 - 1))
        return checked(LatentAsked, question)

    async def _checkpoint(self, named: Any) -> selectors.Readable:
        """Return a checkpoint that this user may see; that is looked up again every second."""
        if type(named) is not int or not 0 < named < 2**63:
            raise Refused("a checkpoint is named by its id, a whole number from 1")
        checked, found = self.verdicts.get(named, (0.0, None))
        if time.monotonic() - checked > VERDICT_SECONDS:
            asked = self.user_id, self.credential, named
            found = await in_thread(selectors.readable, *asked, threads=_threads)
            self.verdicts.pop(named, None)
            self.verdicts[named] = (time.monotonic(), found)
            while len(self.verdicts) > MAX_VERDICTS:
                del self.verdicts[next(iter(self.verdicts))]
        if found is None:
            raise Refused(NOT_SEEN)
        if not found.present:
            raise Refused(PRUNED)
        return found


def _number(value: Any, name: str, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise Refused(f"{name}: {value!r} is refused; it is a number from {low:g} to {high:g}")
    return value

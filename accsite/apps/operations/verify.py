"""Runs verifications: each milestone is a list of promises, and each promise a step that is timed and reported.

The list is the methods of a ``Milestone`` that are marked with ``promise``: what documents say of it and what is
done come from the same lines.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from acc.errors import AccError

if TYPE_CHECKING:
    from accsite.apps.operations.verify_workshop import Workshop

Check = TypeVar("Check", bound=Callable[..., str])


class NotHere(AccError):
    """This installation cannot do what is to be verified; the sentence says what it lacks."""


def promise(text: str, *, needs: Callable[[], None] | None = None) -> Callable[[Check], Check]:
    """Mark a method of a Milestone as what keeps one line of its list; it returns what was seen, in words.

    needs: asked first; raises NotHere where the line cannot be tried.
    """

    def mark(check: Check) -> Check:
        check.promise, check.needs = text, needs  # type: ignore[attr-defined]
        return check

    return mark


class Milestone:
    """What an installation promises, line by line, and what does each to see whether it holds.

    The lines are kept in their order and share ``self``; the first that fails ends the milestone.
    """

    title: ClassVar[str] = ""

    def __init__(self, shop: Workshop) -> None:
        self.shop = shop

    @classmethod
    def promises(cls) -> dict[str, Callable[[Any], str]]:
        """Return the lines of the list in their order, each with what does it."""
        return {each.promise: each for each in vars(cls).values() if hasattr(each, "promise")}

    def verify(self, run: Verification) -> None:
        """Keep each line, and report it."""
        for text, check in self.promises().items():
            with run.step(text) as step:
                if check.needs is not None:  # type: ignore[attr-defined]
                    check.needs()  # type: ignore[attr-defined]
                step.text = check(self)


@dataclass
class Step:
    """One thing that was tried. ``text``: what was seen; if it failed or was skipped, why."""

    milestone: str
    name: str
    ok: bool = False
    skipped: bool = False
    seconds: float = 0.0
    text: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "seconds": round(self.seconds, 3)}


@dataclass
class Verification:
    """A run of verifications; ``report`` is called with each step once it has ended."""

    report: Callable[[Step], None]
    steps: list[Step] = field(default_factory=list)
    milestone: str = ""

    @property
    def ok(self) -> bool:
        """Whether every step so far went well."""
        return all(step.ok for step in self.steps)

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Time and report what is done within; an error in it is reported as why it failed, and goes on up.

        What raises NotHere is reported as skipped, with the reason.
        """
        step = Step(self.milestone, name)
        began = time.monotonic()
        try:
            yield step
            step.ok = True
        except NotHere as reason:
            step.ok = step.skipped = True
            step.text = str(reason)
        except BaseException as error:
            step.text = str(error) or type(error).__name__
            raise
        finally:
            step.seconds = time.monotonic() - began
            self.steps.append(step)
            self.report(step)

    def run(self, name: str, verify: Callable[[], None]) -> None:
        """Run the steps of one milestone; the first that fails ends it. An interrupt goes on up."""
        self.milestone = name
        before = len(self.steps)
        try:
            verify()
        except Exception as error:
            if all(step.ok for step in self.steps[before:]):  # between two steps
                self._failed(f"{type(error).__name__}: {error}")

    def _failed(self, text: str) -> None:
        self.steps.append(Step(self.milestone, "the rest", text=text))
        self.report(self.steps[-1])

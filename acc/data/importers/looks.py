"""What an import has found in its source, what it asks, and what it was answered: shown before anything is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from acc.errors import InvalidInput

CLASSES = ("folders", "none")


@dataclass(frozen=True)
class Answers:
    """What whoever imports has said. Empty: nothing, so that what is proposed holds.

    scale: which pixel values are black and white, ``LOW..HIGH``. part: the split to take, such as ``train``.
    classes: whether folders are classes (``folders``) or not (``none``).
    """

    scale: str = ""
    part: str = ""
    classes: str = ""

    def __post_init__(self) -> None:
        if self.classes not in ("", *CLASSES):
            raise InvalidInput(classes=f"{self.classes!r} is refused; choose one of: {', '.join(CLASSES)}")


@dataclass(frozen=True)
class Finding:
    """One thing that was found, in words, with the facts that they tell of."""

    subject: str
    words: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Question:
    """Something that can be answered: ``choices`` are examples; ``needed``: without an answer nothing is kept."""

    field: str
    words: str
    choices: tuple[str, ...]
    proposed: str
    needed: bool = False


class Look:
    """Collects what an import finds and asks, and holds its answers.

    looking: nothing is going to be kept, so that a question without an answer is taken as proposed and goes on.
    """

    def __init__(self, answers: Answers | None = None, *, looking: bool = False) -> None:
        self.answers, self.looking = answers or Answers(), looking
        self.findings: list[Finding] = []
        self.questions: list[Question] = []
        self.record: dict[str, Any] = {}

    def found(self, subject: str, words: str, **facts: Any) -> None:
        self.findings.append(Finding(subject, words, facts))

    def keep(self, name: str, value: Any) -> None:
        """Add to what the dataset's record says of how it was taken in."""
        self.record[name] = value

    def ask(self, question: Question) -> str:
        """Return the answer to a question, or what is proposed; raises InvalidInput where an answer is needed."""
        self.questions.append(question)
        answer = str(getattr(self.answers, question.field))
        if answer:
            return answer
        if question.needed and not self.looking:
            raise InvalidInput({question.field: question.words})
        return question.proposed

    def wrong(self, field: str, why: str) -> InvalidInput:
        """Return the error for an answer that does not fit what was found."""
        return InvalidInput({field: why})

    @property
    def lines(self) -> list[str]:
        """What was found and what is asked, a line for each."""
        said = [f"{finding.subject}: {finding.words}" for finding in self.findings]
        return said + [f"asks for {question.field}: {question.words}" for question in self.open]

    @property
    def open(self) -> list[Question]:
        """The questions that must be answered before anything is kept."""
        return [each for each in self.questions if each.needed and not getattr(self.answers, each.field)]

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        return {
            "findings": [
                {"subject": each.subject, "words": each.words, "facts": each.facts} for each in self.findings
            ],
            "questions": [
                {
                    "field": each.field,
                    "words": each.words,
                    "choices": list(each.choices),
                    "proposed": each.proposed,
                    "needed": each.needed,
                    "answer": getattr(self.answers, each.field),
                }
                for each in self.questions
            ],
        }

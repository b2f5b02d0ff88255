"""A study as it is written down before it is answered: arms, seeds, what is measured, and what would be an answer.

Plain data, so that page, command, notebook and file have the same; its hash is that of everything that could change an
answer. A plan that changes keeps what was changed, and whether anybody could have seen results by then. Torch-free.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from acc.errors import InvalidInput
from acc.hashes import text_sha256
from acc.names import Name, same_name
from acc.results import FROM_0_TO_1, of_plugin
from acc.specs import METRIC_CLASS, Spec, parse
from acc.studies.statistics import ALPHA, Betting, Sequential, Spending, fewest_seeds

MOST_SEEDS = 1_000
MOST_CLAIMS = 100
"""Of one study. By Holm's procedure 12 seeds are the fewest with which one of 100 claims can be decided."""
CLAIM = re.compile(r"^(?P<first>.+?)\s+(?P<sign>[<>])\s+(?P<second>.+)\s+on\s+(?P<outcome>.+?)$", re.DOTALL)
MARGIN = re.compile(r"\s+by\s+at\s+least\s+(?P<by>\S+)\s*$")
AS_WRITTEN = "arm > other arm on outcome, or arm < other arm on outcome by at least .05"


class Arm(Spec):
    """What differs: a name, and the changes to the settings of the first arm, as a JSON merge patch (RFC 7386).

    says: which of its changes were meant, as paths (``tasks.thickness``, ``train``); None: all of them. What it
    changes besides is named wherever the study is shown.
    """

    name: Name
    changes: dict[str, Any] = Field(default_factory=dict)
    says: tuple[str, ...] | None = None
    note: str = Field(default="", max_length=2_000)

    @field_validator("changes")
    @classmethod
    def _changes_are_json(cls, value: dict[str, Any]) -> dict[str, Any]:
        return as_json(value)

    def unsaid(self) -> list[str]:
        """Return the paths of what it changes and did not say."""
        if self.says is None:
            return []
        return [
            path
            for path in paths(self.changes)
            if not any(path == said or path.startswith(f"{said}.") for said in self.says)
        ]


class Outcome(Spec):
    """One number of one metric on one dataset, of each arm and seed.

    metric: how an evaluation calls it (``ufr``, ``digit/accuracy``, ``cleanness_principal/thickness``; ``Class.number``
    of a plugin); empty: as the outcome is called. dataset: the one to look at; empty: as the evaluation chooses.
    options: of the evaluation (``EvalSpec``). low, high: between which it always lies; needed by a claim that rests on
    bounds.
    """

    name: Name
    metric: str = Field(default="", max_length=200)
    dataset: str = ""
    options: dict[str, Any] = Field(default_factory=dict)
    unit: str = Field(default="", max_length=20)
    higher_is_better: bool | None = True
    low: float | None = Field(default=None, allow_inf_nan=False)
    high: float | None = Field(default=None, allow_inf_nan=False)

    @model_validator(mode="after")
    def _bounds_are_bounds(self) -> Outcome:
        if (self.low is None) != (self.high is None):
            raise ValueError("give low and high, or neither")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}")
        return self

    @property
    def measured_as(self) -> str:
        """What an evaluation calls it."""
        return self.metric or self.name

    @property
    def of_metric(self) -> tuple[str, str]:
        """The class of the plugin that it is a number of, '' if of none, and what it is called there."""
        metric, number = of_plugin(self.measured_as)
        return (metric, number) if METRIC_CLASS.match(metric) else ("", number)

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Between which values it lies: as stated, else 0 to 1 for a metric of that scale, else None."""
        if self.low is not None and self.high is not None:
            return self.low, self.high
        own = {self.measured_as, self.measured_as.split("/", 1)[0], self.measured_as.rsplit("/", 1)[-1]}
        return (0.0, 1.0) if own & FROM_0_TO_1 else None


class Claim(Spec):
    """That one arm has more (``>``) or less (``<``) of an outcome than another, by at least so much.

    ``by`` is in the unit of the outcome, and below 0 where a loss of so much is allowed.
    """

    first: Name
    second: Name
    outcome: Name
    sign: Literal[">", "<"] = ">"
    by: float = Field(default=0.0, allow_inf_nan=False)

    @classmethod
    def parse(cls, text: str) -> Claim:
        """Return the claim that a line says: ``curriculum > digits only on ufr by at least .05``.

        Raises InvalidInput (claim) that shows how a claim is written.
        """
        by = 0.0
        margin = MARGIN.search(text)
        found = CLAIM.match((text[: margin.start()] if margin else text).strip())
        try:
            by = float(margin["by"]) if margin else 0.0
        except ValueError:
            found = None
        if found is None:
            raise InvalidInput({"claim": f"{text!r} is not a claim; write: {AS_WRITTEN}"})
        claim: Claim = parse(cls, {**found.groupdict(), "by": by}, prefix="claim.")
        return claim

    @model_validator(mode="after")
    def _arms_differ(self) -> Claim:
        if self.first == self.second:
            raise ValueError(f"'{self.first}' is compared with itself; name two arms")
        return self

    def __str__(self) -> str:
        margin = f" by at least {plain(self.by)}" if self.by else ""
        return f"{self.first} {self.sign} {self.second} on {self.outcome}{margin}"


class Change(Spec):
    """A change of a plan: its hashes before and after, what, and how many results there were to be seen by then.

    seeds: whether there are other seeds since. harmless: nothing but seeds were added to a study that stops when it is
    decided, whose claims may be looked at.
    """

    before: str
    after: str
    what: tuple[str, ...]
    seen: int = Field(ge=0)
    seeds: bool = False
    harmless: bool = False

    @property
    def after_looking(self) -> bool:
        return self.seen > 0


class Study(Spec):
    """A question, written down before it is answered.

    settings: what the first arm does, and the others but for their changes; any JSON object. seeds: which, or how many
    from 0; under ``stop_when_decided`` the most. alpha: the chance of any false claim at all. A fixed plan is judged
    once its seeds are there, by the sign-flip test. With ``stop_when_decided`` its claims are looked at after each
    seed; they rest on ``rests_on``: ``signs``, which assumes what the sign-flip test assumes, or ``bounds``, which
    assumes nothing but the outcomes' bounds and needs more seeds. chosen_on: the seeds by which its arms were chosen,
    as the winner of a sweep is; none of them may be among its own. changes: of this plan, the first first.
    """

    name: Name
    question: str = Field(default="", max_length=2_000)
    settings: dict[str, Any] = Field(default_factory=dict)
    arms: tuple[Arm, ...] = Field(min_length=1, max_length=1_000)
    seeds: tuple[int, ...]
    outcomes: tuple[Outcome, ...] = Field(min_length=1, max_length=100)
    claims: tuple[Claim, ...] = ()
    alpha: float = Field(default=ALPHA, gt=0, lt=0.5)
    stop_when_decided: bool = False
    rests_on: Literal["signs", "bounds"] = "signs"
    chosen_on: tuple[int, ...] = ()
    changes: tuple[Change, ...] = ()

    @field_validator("seeds", mode="before")
    @classmethod
    def _seeds_from_a_number(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            if not 1 <= value <= MOST_SEEDS:
                raise ValueError(f"{value} seeds are refused; 1 to {MOST_SEEDS} are allowed")
            return tuple(range(value))
        return value

    @field_validator("settings")
    @classmethod
    def _settings_are_json(cls, value: dict[str, Any]) -> dict[str, Any]:
        return as_json(value)

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not 1 <= len(value) <= MOST_SEEDS:
            raise ValueError(f"{len(value)} seeds are refused; 1 to {MOST_SEEDS} are allowed")
        if len(set(value)) < len(value):
            twice = next(seed for seed in value if value.count(seed) > 1)
            raise ValueError(f"seed {twice} stands there twice; each seed counts once")
        if min(value) < 0 or max(value) >= 2**63:
            wrong = next(seed for seed in value if not 0 <= seed < 2**63)
            raise ValueError(f"seed {wrong} is refused; a seed is 0 or more, and below 2^63")
        return value

    @field_validator("claims", mode="before")
    @classmethod
    def _claims_from_text(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = [line for line in value.splitlines() if line.strip()]
        if not isinstance(value, list | tuple):
            return value
        if len(value) > MOST_CLAIMS:
            raise ValueError(f"{len(value)} claims are refused; at most {MOST_CLAIMS} are allowed")
        try:
            return [Claim.parse(each) if isinstance(each, str) else each for each in value]
        except InvalidInput as error:
            raise ValueError(str(error).removeprefix("claim: ")) from error

    @field_validator("arms", "outcomes")
    @classmethod
    def _names_differ(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        known: dict[str, str] = {}
        for each in value:
            if (key := same_name(each.name)) in known:
                raise ValueError(f"'{each.name}' stands there twice; give each a name of its own")
            known[key] = each.name
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Study:
        if self.arms[0].changes:
            changed = ", ".join(paths(self.arms[0].changes))
            raise ValueError(
                f"the first arm, '{self.arms[0].name}', has no changes; put {changed} into settings"
            )
        arms, outcomes = [arm.name for arm in self.arms], [outcome.name for outcome in self.outcomes]
        for claim in self.claims:
            for name in (claim.first, claim.second):
                if name not in arms:
                    raise ValueError(f"'{claim}': no arm is called '{name}'; there are: {', '.join(arms)}")
            if claim.outcome not in outcomes:
                raise ValueError(
                    f"'{claim}': no outcome is called '{claim.outcome}'; there are: {', '.join(outcomes)}"
                )
            if (
                self.rests_on == "bounds"
                and self.stop_when_decided
                and not self.outcome(claim.outcome).bounds
            ):
                raise ValueError(
                    f"'{claim}' rests on bounds, and none are known of '{claim.outcome}'; give its low and high, or "
                    "let it rest on signs"
                )
        if again := [seed for seed in self.seeds if seed in self.chosen_on]:
            raise ValueError(
                f"seed {again[0]} is refused: the arms were chosen on it, and what chose them cannot confirm them; "
                f"take seeds from {max(self.chosen_on) + 1}"
            )
        said = [str(claim) for claim in self.claims]
        if len(set(said)) < len(said):
            raise ValueError(f"'{next(each for each in said if said.count(each) > 1)}' is claimed twice")
        for before, after in zip(self.changes, self.changes[1:], strict=False):
            if before.after != after.before:
                raise ValueError("a change of this plan is missing: the changes do not follow on one another")
        if self.changes and self.changes[-1].after != self.sha256:
            raise ValueError("this is not the plan that its last change led to; change it with revised()")
        return self

    @property
    def sha256(self) -> str:
        """The hash of everything that could change an answer; name, question and notes do not."""
        plan = self.model_dump(mode="json", exclude={"name", "question", "changes"})
        for arm in plan["arms"]:
            del arm["note"]
        if not self.chosen_on:
            del plan[
                "chosen_on"
            ]  # plans that were written before there were sweeps have the hash that they had
        return text_sha256(json.dumps(plan, sort_keys=True, ensure_ascii=False))

    @property
    def primary(self) -> Outcome:
        """The outcome that the study is about: the first."""
        return self.outcomes[0]

    @property
    def changed_after_looking(self) -> bool:
        """Whether anything that matters was changed when there were results to be seen. It stays so for ever."""
        return any(change.after_looking and not change.harmless for change in self.changes)

    @property
    def may_be_looked_at(self) -> bool:
        """Whether its claims rest on a test that may be looked at after each seed.

        They do in a study that stops when it is decided, and in one whose seeds became others after looking: no fixed
        test holds there.
        """
        return self.stop_when_decided or any(change.after_looking and change.seeds for change in self.changes)

    def arm(self, name: str) -> Arm:
        """Return an arm by name; raises InvalidInput (arm) naming those there are."""
        for arm in self.arms:
            if arm.name == name:
                return arm
        known = ", ".join(arm.name for arm in self.arms)
        raise InvalidInput({"arm": f"no arm is called {name!r}; there are: {known}"})

    def outcome(self, name: str) -> Outcome:
        """Return an outcome by name; raises InvalidInput (outcome) naming those there are."""
        for outcome in self.outcomes:
            if outcome.name == name:
                return outcome
        known = ", ".join(outcome.name for outcome in self.outcomes)
        raise InvalidInput({"outcome": f"no outcome is called {name!r}; there are: {known}"})

    def settings_of(self, arm: str) -> dict[str, Any]:
        """Return all that an arm does; raises InvalidInput (arm)."""
        merged: dict[str, Any] = merge(self.settings, self.arm(arm).changes)
        return merged

    def sequential(self, claim: Claim) -> Sequential:
        """Return the test by which a claim may be looked at after each seed."""
        bounds = self.outcome(claim.outcome).bounds if self.rests_on == "bounds" else None
        return Betting(bounds[1] - bounds[0]) if bounds else Spending()

    def fewest_seeds(self) -> int:
        """Return with how many seeds any of the claims can be decided at all; there is at least one."""
        tests = [self.sequential(claim) if self.may_be_looked_at else None for claim in self.claims]
        level = self.alpha / len(self.claims)
        return min(fewest_seeds(level, sequential=test) for test in dict.fromkeys(tests))

    def order(self) -> Iterator[tuple[str, int]]:
        """Yield (arm, seed) in the order in which they are run: seed after seed, beginning with another arm each time.

        So an early look finds the same seeds in all arms, and no arm is always the first.
        """
        for place, seed in enumerate(self.seeds):
            for turn in range(len(self.arms)):
                yield self.arms[(place + turn) % len(self.arms)].name, seed

    def warnings(self) -> list[str]:
        """Return sentences on what this plan cannot show, and on what its arms change and do not say."""
        found = []
        if self.claims and len(self.seeds) < (least := self.fewest_seeds()):
            found.append(cannot_reach(len(self.seeds), self.alpha, len(self.claims), least))
        for arm in self.arms:
            if unsaid := arm.unsaid():
                found.append(f"'{arm.name}' differs from '{self.arms[0].name}' also in {', '.join(unsaid)}.")
        return found

    def revised(self, *, seen: int, **fields: Any) -> Study:
        """Return the plan with other fields, which tells of the change.

        seen: how many results there were when it was changed. Raises InvalidInput; what is as it was is no change.
        """
        plain_fields = {
            name: [each.model_dump(mode="json") if isinstance(each, Spec) else each for each in value]
            if isinstance(value, list | tuple)
            else value
            for name, value in fields.items()
        }
        new: Study = parse(Study, {**self.model_dump(mode="json"), "changes": (), **plain_fields})
        if new.sha256 == self.sha256:
            return new.model_copy(update={"changes": self.changes})
        only_seeds = self.sha256 == new.model_copy(update={"seeds": self.seeds}).sha256
        more = new.seeds[: len(self.seeds)] == self.seeds
        change = Change(
            before=self.sha256,
            after=new.sha256,
            what=tuple(_told(self, new)),
            seen=seen,
            seeds=new.seeds != self.seeds,
            harmless=only_seeds and more and self.stop_when_decided,
        )
        return new.model_copy(update={"changes": (*self.changes, change)})

    def to_json(self) -> str:
        """Return the plan as JSON, as ``from_json`` reads it."""
        return self.model_dump_json(indent=1)

    @classmethod
    def from_json(cls, text: str) -> Study:
        """Return the plan that was written as JSON; raises InvalidInput."""
        try:
            data = json.loads(text)
        except ValueError as error:
            raise InvalidInput({"study": f"this is no JSON: {error}"}) from error
        study: Study = parse(cls, data)
        return study


def cannot_reach(n: int, alpha: float, claims: int, least: int) -> str:
    """Return the sentence that n seeds cannot decide, and how many can: ``least``."""
    of = "" if claims == 1 else f" {claims} claims"
    seeds = "1 seed" if n == 1 else f"{n} seeds"
    return f"{seeds} cannot decide{of} at {plain(alpha)} with a two-sided test; {least} can."


def plain(value: float) -> str:
    """Return a number as it is written in a claim: exactly, and without a 0 before the point."""
    text = repr(float(value)).removesuffix(".0")
    return re.sub(r"^(-?)0\.", r"\1.", text)


def as_json(value: dict[str, Any]) -> dict[str, Any]:
    """Return what JSON makes of a dict; raises ValueError for what JSON has not."""
    try:
        found: dict[str, Any] = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"these settings are no JSON: {error}") from error
    return found


def patch(first: Any, other: Any) -> Any:
    """Return what turns one JSON object into another, as a merge patch (RFC 7386); lists are replaced whole."""
    if not isinstance(first, Mapping) or not isinstance(other, Mapping):
        return other
    found = {
        name: None for name in first if name not in other or (other[name] is None and first[name] is not None)
    }
    for name, value in other.items():
        if value is not None and (name not in first or first[name] != value):
            found[name] = patch(first.get(name), value)
    return found


def merge(first: Any, changes: Any) -> Any:
    """Return a JSON value with a merge patch applied (RFC 7386)."""
    if not isinstance(changes, Mapping):
        return changes
    merged = dict(first) if isinstance(first, Mapping) else {}
    for name, value in changes.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


def paths(changes: Mapping[str, Any], before: str = "") -> list[str]:
    """Return the places that a merge patch changes, such as ``train.lr``."""
    found: list[str] = []
    for name, value in changes.items():
        inner = isinstance(value, Mapping) and value
        found += paths(value, f"{before}{name}.") if inner else [f"{before}{name}"]
    return found


def _told(old: Study, new: Study) -> Iterator[str]:
    """Yield what a change of plan is, in words."""
    added = [seed for seed in new.seeds if seed not in old.seeds]
    gone = [seed for seed in old.seeds if seed not in new.seeds]
    if added:
        yield f"{_count(added, 'seed')} added ({len(old.seeds)} before)"
    if gone:
        yield f"{_count(gone, 'seed')} taken away ({', '.join(map(str, gone))})"
    for word in ("arm", "outcome"):
        before = {each.name: each for each in getattr(old, f"{word}s")}
        after = {each.name: each for each in getattr(new, f"{word}s")}
        yield from (f"{word} '{name}' added" for name in after if name not in before)
        yield from (f"{word} '{name}' taken away" for name in before if name not in after)
        for name in before.keys() & after.keys():
            if before[name] != after[name]:
                yield f"{word} '{name}' changed"
    said, says = [str(claim) for claim in old.claims], [str(claim) for claim in new.claims]
    yield from (f"claim '{text}' added" for text in says if text not in said)
    yield from (f"claim '{text}' taken away" for text in said if text not in says)
    if old.settings != new.settings:
        yield f"settings changed: {', '.join(paths(patch(old.settings, new.settings)))}"
    for name in ("alpha", "stop_when_decided", "rests_on"):
        if getattr(old, name) != getattr(new, name):
            yield f"{name}: {getattr(old, name)} became {getattr(new, name)}"
    if [arm.name for arm in old.arms][:1] != [arm.name for arm in new.arms][:1]:
        yield f"the first arm is '{new.arms[0].name}' now"
    if added == gone == [] and old.seeds != new.seeds:
        yield "seeds put in another order"


def _count(things: Sequence[Any], word: str) -> str:
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"

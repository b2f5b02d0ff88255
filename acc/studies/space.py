"""The space that a sweep draws from: parameters with bounds, as a line of text says them. Torch-free."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from acc.errors import InvalidInput
from acc.specs import Spec, parse

Value = bool | int | float | str | None
MOST_POINTS = 1_000
MOST_OF_A_GRID = 1_000_000
"""Of the points of a whole grid, whose order is drawn before the first of them is done."""
MOST_TEXT = 200
MOST_BOUND = 1e300
"""Of a number, so that no range is wider than a number can be."""
RANGE = re.compile(
    r"^(?P<low>\S+)\s+to\s+(?P<high>\S+?)(?P<int>,?\s+int)?(?P<log>,?\s+log)?"
    r"(?:,?\s+in\s+(?P<points>\d+)(?:\s+(?:points|steps))?)?$"
)
AS_WRITTEN = "1e-4 to 1e-2 log, 2 to 8 int, .1 to 10 log in 5 points, or adam or sgd"


class Parameter(Spec):
    """One thing that a sweep draws: its place, and between which values it lies.

    name: where it is set, such as ``train.lr``. low, high: of a float or int, both among its values. log: drawn evenly
    on a logarithmic scale. points: how many a grid has of it; empty: all of an int and a choice, 5 of a float.
    values: of a choice.
    """

    name: str = Field(min_length=1, max_length=200)
    kind: Literal["float", "int", "choice"] = "float"
    low: float | None = Field(default=None, allow_inf_nan=False)
    high: float | None = Field(default=None, allow_inf_nan=False)
    log: bool = False
    points: int | None = Field(default=None, ge=2, le=MOST_POINTS)
    values: tuple[Value, ...] = Field(default=(), max_length=MOST_POINTS)

    @classmethod
    def parse(cls, name: str, said: Any) -> Parameter:
        """Return the parameter that a text, a list of values or an object of fields says.

        A text is ``1e-4 to 1e-2 log``, ``2 to 8 int`` or ``adam or sgd``. Raises InvalidInput (space.NAME).
        """
        where = f"space.{name}"
        if isinstance(said, Parameter):
            return said
        if isinstance(said, Mapping):
            fields = dict(said)
        elif isinstance(said, str):
            fields = _from_text(said, where)
        elif isinstance(said, list | tuple):
            fields = {"kind": "choice", "values": tuple(said)}
        else:
            raise InvalidInput({where: f"{said!r:.80} is not a range or a choice; write {AS_WRITTEN}"})
        try:
            found: Parameter = parse(cls, {**fields, "name": name})
        except InvalidInput as error:
            told = {
                (where if key == "__all__" else f"{where}.{key}"): said for key, said in error.fields.items()
            }
            raise InvalidInput(told) from error
        return found

    @field_validator("values")
    @classmethod
    def _values_differ(cls, value: tuple[Value, ...]) -> tuple[Value, ...]:
        for each in value:
            if isinstance(each, float) and not math.isfinite(each):
                raise ValueError(f"{each} is refused; a number must be finite")
            if isinstance(each, str) and (len(each) > MOST_TEXT or not each.isprintable()):
                raise ValueError(
                    f"{each!r:.80} is refused; a text has up to {MOST_TEXT} characters that can be shown"
                )
        told = [json.dumps(each) for each in value]
        if len(set(told)) < len(told):
            raise ValueError(f"{next(each for each in told if told.count(each) > 1)} stands there twice")
        return value

    @model_validator(mode="after")
    def _is_a_range_or_a_choice(self) -> Parameter:
        if self.kind == "choice":
            if self.low is not None or self.high is not None or self.log or self.points is not None:
                raise ValueError("a choice has values, and no low, high, log or points")
            if len(self.values) < 2:
                raise ValueError(f"a choice of {len(self.values)} is none; give 2 values or more")
            return self
        if self.values:
            raise ValueError(f"{self.kind} has low and high; values are those of a choice")
        if self.low is None or self.high is None:
            raise ValueError("give low and high")
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}")
        if max(abs(self.low), abs(self.high)) > MOST_BOUND:
            raise ValueError(f"{self.low:g} to {self.high:g} is refused: bounds lie within {MOST_BOUND:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"low {self.low:g} is refused: a logarithmic scale begins above 0")
        if self.kind == "int" and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError(f"{self.low:g} to {self.high:g} is refused: the bounds of an int are whole")
        if self.kind == "int" and max(abs(self.low), abs(self.high)) > 2**53:
            raise ValueError("the bounds of an int lie within 2^53")
        return self

    def __str__(self) -> str:
        if self.kind == "choice":
            return f"{self.name}: {' or '.join(shown(value) for value in self.values)}"
        assert self.low is not None
        assert self.high is not None
        words = [f"{self.low:.15g} to {self.high:.15g}"]
        words += ["int"] * (self.kind == "int") + ["log"] * self.log
        words += [f"in {self.points} points"] * (self.points is not None)
        return f"{self.name}: {' '.join(words)}"

    def size(self) -> float:
        """Return how many values it has; infinite for a float."""
        if self.kind == "choice":
            return len(self.values)
        assert self.low is not None
        assert self.high is not None
        return math.inf if self.kind == "float" else self.high - self.low + 1

    def __contains__(self, value: object) -> bool:
        if self.kind == "choice":
            return any(type(value) is type(each) and value == each for each in self.values)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        assert self.low is not None
        assert self.high is not None
        whole = self.kind == "float" or float(value).is_integer()
        return self.low <= value <= self.high and whole

    def ends(self) -> tuple[Value, ...]:
        """Return what must be allowed where it is set, so that all of it is: both bounds, or each value."""
        return self.values if self.kind == "choice" else (self._as(self.low), self._as(self.high))

    def grid(self) -> tuple[Value, ...]:
        """Return the values that a grid has of it, evenly apart on its scale; an int may have fewer than ``points``."""
        if self.kind == "choice":
            return self.values
        assert self.low is not None
        assert self.high is not None
        if self.kind == "int" and self.points is None:
            if self.size() > MOST_POINTS:
                raise InvalidInput(
                    {f"space.{self.name}": f"it has {self.size():,.0f} values; say how many a grid has, such as "
                                           f"'{str(self).partition(': ')[2]} in 5 points'"}
                )  # fmt: skip
            return tuple(range(int(self.low), int(self.high) + 1))
        parts = np.linspace(0.0, 1.0, self.points or 5)
        return tuple(dict.fromkeys(self.at(float(part)) for part in parts))

    def at(self, part: float) -> Value:
        """Return its value at a part of its range: 0 is low, 1 is high; of a choice, the first and the last."""
        if self.kind == "choice":
            return self.values[min(int(part * len(self.values)), len(self.values) - 1)]
        assert self.low is not None
        assert self.high is not None
        low, high = self.low, self.high
        if self.kind == "int":
            low, high = low - 0.5, high + 0.5  # so that the ends are as likely as all between
        if self.log:
            found = math.exp(math.log(low) + part * (math.log(high) - math.log(low)))
        else:
            found = low + part * (high - low)
        found = (
            float(round(found)) if self.kind == "int" else float(f"{found:.12g}")
        )  # 1e-3, not .0010000000000000002
        return self._as(min(max(found, self.low), self.high))

    def part(self, value: Value) -> float:
        """Return where a value lies in its range, 0 to 1, on its scale; what is outside lies at the nearer end."""
        if self.kind == "choice":
            alike = (n for n, each in enumerate(self.values) if type(each) is type(value) and each == value)
            place = next(alike, 0)
            return place / (len(self.values) - 1)
        assert self.low is not None
        assert self.high is not None
        number = min(max(float(value or 0), self.low), self.high)
        if self.log:
            low, high, number = math.log(self.low), math.log(self.high), math.log(number)
        else:
            low, high = self.low, self.high
        return (number - low) / (high - low) if high > low else 0.0

    def _as(self, value: float | None) -> Value:
        assert value is not None
        return int(value) if self.kind == "int" else float(value)


Space = tuple[Parameter, ...]


def space_of(given: Any) -> Space:
    """Return the space that is given as text (``train.lr: 1e-4 to 1e-2 log``, a line each, or with ; between), as an
    object (name -> range), or as parameters.

    Raises InvalidInput (space) naming what is wrong.
    """
    if isinstance(given, str):
        lines = [line.strip() for line in re.split(r"[;\n]", given) if line.strip()]
        pairs: list[tuple[str, Any]] = []
        for line in lines:
            name, colon, said = line.partition(":")
            if not colon:
                raise InvalidInput(
                    space=f"{line!r} names no range; write PLACE: RANGE, such as train.lr: {AS_WRITTEN}"
                )
            pairs.append((name.strip(), said.strip()))
    elif isinstance(given, Mapping):
        pairs = [(str(name), said) for name, said in given.items()]
    elif isinstance(given, list | tuple):
        pairs = [
            (each.name, each)
            if isinstance(each, Parameter)
            else (str(each.get("name", "")), each if isinstance(each, Mapping) else None)
            for each in given
        ]
    else:
        raise InvalidInput(space=f"{given!r:.80} is no space; give a text, or an object of names and ranges")
    names = [name for name, _ in pairs]
    if not names:
        raise InvalidInput(space="it is empty; say what is drawn, such as train.lr: 1e-4 to 1e-2 log")
    if twice := [name for name in names if names.count(name) > 1]:
        raise InvalidInput(space=f"{twice[0]} stands there twice; give each parameter once")
    return tuple(Parameter.parse(name, said) for name, said in pairs)


def _from_text(text: str, where: str) -> dict[str, Any]:
    found = RANGE.match(text.strip())
    if found is None:
        values = [part.strip() for part in re.split(r"\s+or\s+", text.strip())]
        if len(values) < 2 or not all(values):
            raise InvalidInput({where: f"{text!r} is not a range or a choice; write {AS_WRITTEN}"})
        return {"kind": "choice", "values": [_scalar(value) for value in values]}
    try:
        low, high = float(found["low"]), float(found["high"])
    except ValueError:
        raise InvalidInput({where: f"{text!r}: its ends are no numbers; write {AS_WRITTEN}"}) from None
    return {
        "kind": "int" if found["int"] else "float",
        "low": low,
        "high": high,
        "log": bool(found["log"]),
        "points": found["points"],
    }


def _scalar(text: str) -> Value:
    """Return a number, true, false or null as JSON has them, else the text; a number may begin with its point."""
    try:
        found = json.loads(re.sub(r"^(-?)\.", r"\g<1>0.", text))
    except (ValueError, RecursionError):  # of a thousand brackets
        return text
    return found if isinstance(found, bool | int | float | str) or found is None else text


def shown(value: Value) -> str:
    """Return a value as it is shown: four digits of a number, text as it is."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)


def points(space: Space) -> int:
    """Return how many points the grid of a space has; raises InvalidInput (space) where they are too many."""
    found = math.prod(len(parameter.grid()) for parameter in space)
    if found > MOST_OF_A_GRID:
        raise InvalidInput(
            space=f"its grid has {in_short(found)} points, and {MOST_OF_A_GRID:,} are the most; give fewer "
            "parameters, fewer points of each, such as '1e-4 to 1e-2 log in 3 points', or draw by random or tpe"
        )
    return found


def in_short(count: int) -> str:
    """Return a whole number as it is read: in full, or as a power of ten."""
    return f"{count:,}" if count < 10**12 else f"about 10^{len(str(count)) - 1}"


def size(space: Space) -> float:
    """Return how many different draws there are; infinite where one parameter is a float."""
    return math.prod(parameter.size() for parameter in space)


def point(space: Space, number: int) -> dict[str, Value]:
    """Return a point of the grid, from 0, the last parameter changing fastest."""
    found: dict[str, Value] = {}
    for parameter in reversed(space):
        values = parameter.grid()
        number, place = divmod(number, len(values))
        found[parameter.name] = values[place]
    return {parameter.name: found[parameter.name] for parameter in space}


def everything(space: Space) -> Iterator[dict[str, Value]]:
    """Yield every draw of a space without floats, one after another."""
    kinds: list[Sequence[Value]] = [
        parameter.values
        if parameter.kind == "choice"
        else range(int(parameter.low or 0), int(parameter.high or 0) + 1)
        for parameter in space
    ]
    places = [0] * len(space)
    while True:  # one at a time: itertools.product would first write down all that is in each range
        yield {parameter.name: values[at] for parameter, values, at in zip(space, kinds, places, strict=True)}
        for turn in reversed(range(len(space))):
            places[turn] = (places[turn] + 1) % len(kinds[turn])
            if places[turn]:
                break
        else:
            return


def key(values: Mapping[str, Value]) -> str:
    """Return what two draws share if they are the same."""
    return json.dumps(values, sort_keys=True)

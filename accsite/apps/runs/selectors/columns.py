"""The columns that there are for a user, and which of them a name means."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from acc.errors import InvalidInput
from accsite.apps.runs.facts import FAMILIES
from accsite.apps.runs.models import Column, Run, Value
from accsite.apps.training.models import Experiment

NEWEST = 50
MOST_BY_DEFAULT = 8


@dataclass(frozen=True)
class Col:
    """A column: its name, what its values are, and where they lie.

    kind: ``number``, ``text``, ``state`` or ``time``. field: of ``Run``, for what every run has; else ``pk`` is that of
    the column's row. short: whether a metric was measured on one dataset alone, which need not be named then.
    """

    name: str
    kind: str
    field: str = ""
    pk: int = 0
    short: bool = False

    @property
    def family(self) -> str:
        return "run" if self.field else self.name.partition("/")[0]

    @property
    def words(self) -> str:
        """What stands above it: the name without its family, where that says it all."""
        if self.field:
            return self.name
        family, _, rest = self.name.partition("/")
        rest = rest.partition(" on ")[0] if self.short else rest
        return f"{rest} {family}" if family in {"loss", "best", "weight"} else rest


FIXED = (
    Col("run", "number", "job_id"),
    Col("experiment", "text", "experiment__slug"),
    Col("branch", "text", "branch__slug"),
    Col("state", "state", "state"),
    Col("kind", "text", "kind"),
    Col("owner", "text", "created_by__username"),
    Col("step", "number", "step"),
    Col("steps", "number", "total_steps"),
    Col("seconds", "number", "seconds"),
    Col("created", "time", "created_at"),
    Col("started", "time", "started_at"),
    Col("ended", "time", "finished_at"),
)
"""What every run has."""
ALWAYS = ("state", "step", "seconds", "created")
"""Those of them that are shown unless others are chosen; which run it is stands before them anyway."""


def columns_of(user: Any) -> dict[str, Col]:
    """Return the columns of the runs that ``user`` may see, by name: what every run has, then the others by family.

    None, a shell, sees all.
    """
    rows = Column.objects.all()
    if user is not None:
        through = Column.experiments.through.objects
        seen = through.filter(experiment__in=Experiment.objects.visible_to(user)).order_by()
        rows = rows.filter(pk__in=seen.values("column"))
    families = list(FAMILIES)
    kinds = list(rows.values_list("pk", "name", "is_number"))
    datasets = Counter(name.partition(" on ")[0] for _, name, _ in kinds if name.startswith("metric/"))
    found = [
        Col(name, "number" if is_number else "text", pk=pk, short=datasets[name.partition(" on ")[0]] == 1)
        for pk, name, is_number in kinds
    ]
    found.sort(
        key=lambda col: (families.index(col.family) if col.family in families else len(families), col.name)
    )
    return {col.name: col for col in (*FIXED, *found)}


def resolve(known: dict[str, Col], name: str, field: str) -> Col:
    """Return the column that a name means: its whole name, or the end of it where only one ends so.

    ``lr`` is ``train/lr``, and ``ufr`` is ``metric/ufr on digits`` while UFR was measured on one dataset alone. Raises
    InvalidInput (field).
    """
    if name in known:
        return known[name]
    asked = name.strip().lower()
    lower = [(each.lower(), col) for each, col in known.items()]
    found = [col for each, col in lower if each == asked] or [
        col for each, col in lower if _ends_so(each, asked)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        which = ", ".join(f'"{col.name}"' for col in found[:6])
        raise InvalidInput(
            {field: f"{name[:80]!r} may be one of several columns: {which}; write its whole name"}
        )
    near = [col.name for each, col in lower if asked and asked in each][:6] or list(known)[:12]
    raise InvalidInput({field: f"{name[:80]!r} is not a column here; such as: {', '.join(near)}"})


def _ends_so(name: str, asked: str) -> bool:
    _, slash, rest = name.partition("/")
    if not slash or not asked:
        return False
    parts = (rest, rest.partition(" on ")[0])
    return any(part == asked or part.endswith(f"/{asked}") for part in parts)


def default_columns(known: dict[str, Col], visible: Any) -> list[Col]:
    """Return the columns that are shown unless others are chosen: of the newest runs, what tells them apart.

    Their state and cost, the total loss, UFR and what else was measured of most, and the parameters that differ.
    """
    newest = list(visible.order_by("-pk").values_list("pk", flat=True)[:NEWEST])
    counts: Counter[int] = Counter()
    texts: dict[int, set[Any]] = defaultdict(set)
    for pk, number, text in Value.objects.filter(run__in=newest).values_list("column_id", "number", "text"):
        counts[pk] += 1
        texts[pk].add((number, text))

    def varies(col: Col) -> bool:
        kinds = len(texts[col.pk]) + (counts[col.pk] < len(newest))
        return kinds > 1 and counts[col.pk] > 1

    columns = [col for col in known.values() if not col.field and counts[col.pk]]
    often = sorted(columns, key=lambda col: -counts[col.pk])
    measured = [col for col in often if col.family == "metric"]
    measured.sort(key=lambda col: not col.name.startswith("metric/ufr"))
    losses = [col for col in often if col.family == "loss"]
    losses.sort(key=lambda col: col.name != "loss/total")
    asked = {"study", "train", "model", "data", "config", "weight"}
    differing = [col for col in columns if col.family in asked and varies(col)]
    chosen = [*measured[:2], *losses[:3], *differing]
    return [*(known[name] for name in ALWAYS), *chosen[:MOST_BY_DEFAULT]]


def shown_columns(known: dict[str, Col], names: Sequence[str], visible: Any) -> list[Col]:
    """Return the columns that an address asks for, in its order; raises InvalidInput (columns)."""
    if not names:
        return default_columns(known, visible)
    chosen = [resolve(known, name, "columns") for name in names]
    return list(dict.fromkeys(chosen))


def all_runs(user: Any) -> Any:
    """Return the runs that ``user`` may see; None, a shell, sees all."""
    return Run.objects.all() if user is None else Run.objects.visible_to(user)

"""What the page of runs shows: the table as its address asks for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, QueryDict
from django.urls import reverse

from acc.errors import InvalidInput
from accsite.actions import ActionType, actions_on
from accsite.apps.access.permissions import may_operate, may_post, may_write
from accsite.apps.jobs.actions.by_operators import ByOperators
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.states import ACTIVE
from accsite.apps.jobs.templatetags.acc import duration
from accsite.apps.live import selectors as live
from accsite.apps.runs import answers, filters, selectors
from accsite.apps.runs.access import views_of
from accsite.apps.runs.facts import FAMILIES
from accsite.apps.runs.models import Run
from accsite.apps.runs.selectors import Col, Group, Mean
from accsite.apps.runs.selectors.groups import LABEL, N
from accsite.apps.training.selectors.curves import MOST_CURVES, look_of, most_of
from accsite.ids import row_id
from accsite.numbers import NONE, compact, exact

A_PAGE = 50
MOST_COLUMNS = 60


@dataclass(frozen=True)
class Asked:
    """What an address asks of the table; empty: as it is by default. eyes: ids of runs, or keys of groups."""

    filter: str = ""
    sort: str = ""
    group: str = ""
    columns: tuple[str, ...] = ()
    eyes: tuple[str, ...] = ()
    curve: str = ""
    page: str = ""

    @classmethod
    def of(cls, query: QueryDict) -> Asked:
        """Return what a query string asks."""
        return cls(
            filter=query.get("filter", "").strip(),
            sort=query.get("sort", ""),
            group=query.get("group", ""),
            columns=tuple(dict.fromkeys(query.getlist("c")))[:MOST_COLUMNS],
            eyes=tuple(dict.fromkeys(query.getlist("eye")))[:MOST_CURVES],
            curve=query.get("curve", ""),
            page=query.get("page", ""),
        )

    def pairs(self) -> list[tuple[str, str]]:
        """Return it as the fields of a form."""
        single = {
            "filter": self.filter,
            "sort": self.sort,
            "group": self.group,
            "curve": self.curve,
            "page": self.page,
        }
        told = [(name, value) for name, value in single.items() if value]
        return [*told, *(("c", name) for name in self.columns), *(("eye", eye) for eye in self.eyes)]

    @property
    def query(self) -> str:
        """The query string that asks for it."""
        made = QueryDict(mutable=True)
        for name, value in self.pairs():
            made.appendlist(name, value)
        return made.urlencode()

    @property
    def address(self) -> str:
        """The address of the page that shows it."""
        return reverse("runs:runs") + (f"?{self.query}" if self.query else "")

    def but(self, **changes: Any) -> Asked:
        """Return it with something else asked; another order or filter begins at the first page."""
        return replace(self, **{"page": "", **changes})

    def turned(self, eye: str) -> Asked:
        """Return it with the curves of a run or a group shown, or no longer shown."""
        others = tuple(each for each in self.eyes if each != eye)
        return replace(self, eyes=others if eye in self.eyes else (*others, eye))

    @property
    def kept(self) -> str:
        """What a saved view holds: all but the page and the curves, which are of rows that come and go."""
        return self.but(eyes=(), curve="").query


@dataclass(frozen=True)
class Head:
    """A heading: its words, how the column is sorted now, and whether it can be moved."""

    col: Col
    words: str
    now: str
    earlier: bool
    later: bool


@dataclass(frozen=True)
class Cell:
    """What stands in a cell: text, or a moment; ``more``: beside it, small."""

    label: str
    text: str = ""
    number: bool = False
    moment: datetime | None = None
    more: str = ""
    state: str = ""


@dataclass(frozen=True)
class Line:
    """A row of the table: a run, or a group of them."""

    eye: str
    open: bool
    cells: list[Cell]
    slot: int = 0
    dash: int = 0
    run: Run | None = None
    group: Group | None = None
    inside: str = ""


@dataclass(frozen=True)
class Legend:
    """A curve that is drawn, as it is named beside the chart."""

    eye: str
    label: str
    slot: int
    dash: int


@dataclass(frozen=True)
class Table:
    """The table, or why there is none."""

    heads: list[Head] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    page: Any = None
    total: int = 0
    shown: list[Col] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    by: Col | None = None
    runs: int = 0


def table_context(request: HttpRequest) -> dict[str, Any]:
    """Return what the panel of the table shows; the version of what it listens to is read before anything else."""
    versions = live.versions(["jobs"])
    known = selectors.columns_of(request.user)
    visible = selectors.all_runs(request.user)
    asked = Asked.of(request.GET)
    try:
        asked = asked_next(asked, request.GET, known, visible)
        table = _table(asked, known, visible)
    except InvalidInput as error:
        table = Table(refused=[message for messages in error.fields.values() for message in messages])
    legend = _legend(asked, visible)
    return {
        "versions": versions,
        "asked": asked,
        "table": table,
        "nothing": not table.total and not visible.exists(),
        "legend": legend,
        "most": most_of(len(legend)),
        "curves_url": f"{reverse('runs:curves')}?{_of_curves(asked).query}" if legend else "",
        "moving": bool(legend) and _moving(asked, visible),
        "label_sort": _now(asked, LABEL),
        "n_sort": _now(asked, N),
        "more_eyes": [line.eye for line in table.lines if not line.open],
        "hidden": {name: asked.but(**{name: ()}).pairs() for name in ("columns", "eyes")},
        "searched": [
            pair for pair in asked.but().pairs() if pair[0] not in ("filter", "group", "eye", "curve")
        ],
        "chosen": _heads(asked, table.shown),
        "choices": _choices(known, table),
        "group_choices": _group_choices(known, table),
        "exports": _exports(asked, table),
        "views": [(view, f"{reverse('runs:runs')}?{view.query}") for view in views_of(request.user)],
        "writes": may_write(request.user),
        "steers": may_post(request.user, "runs", "act", {}),
        "acts": [(verb, kind.label) for verb, kind in acts(request.user).items()],
    }


def _table(asked: Asked, known: dict[str, Col], visible: Any) -> Table:
    shown = selectors.shown_columns(known, asked.columns, visible)
    runs = selectors.matching(visible, known, asked.filter)
    if asked.group:
        return _grouped(asked, known, runs, shown)
    ordered = selectors.sorted_by(runs, known, asked.sort)
    page = Paginator(ordered, A_PAGE).get_page(asked.page)
    first = (page.number - 1) * A_PAGE
    lines = []
    for row in selectors.rows_of(selectors.part_of(ordered, first, first + A_PAGE), shown):
        eye = str(row.run.pk)
        cells = [cell_of(col, row.values.get(col.name), row.run) for col in shown]
        lines.append(Line(eye, eye in asked.eyes, cells, *_look(asked, eye), run=row.run))
    total = page.paginator.count
    return Table(_heads(asked, shown), lines, page, total, shown, runs=total)


def _grouped(asked: Asked, known: dict[str, Col], runs: Any, shown: list[Col]) -> Table:
    numbers = [col for col in shown if col.kind == "number" and col.name != "run"]
    sort = asked.sort if _can_sort(asked.sort, known, numbers) else ""
    found = selectors.groups(runs, known, numbers, asked.group, sort)
    numbers = [col for col in numbers if col != found.by]
    page = Paginator(found.groups, A_PAGE).get_page(asked.page)
    lines = []
    for group in page.object_list:
        slot, dash = _look(asked, group.key)
        inside = filters.narrowed(asked.filter, found.by.name, group.value)
        lines.append(
            Line(
                group.key,
                group.key in asked.eyes,
                [mean_cell(col, group.means.get(col.name), len(group.runs)) for col in numbers],
                slot,
                dash,
                group=group,
                inside=asked.but(filter=inside, group="", eyes=(), sort="").address,
            )
        )
    heads = _heads(asked, numbers)
    count = sum(len(group.runs) for group in found.groups)
    return Table(heads, lines, page, len(found.groups), shown, by=found.by, runs=count)


def _can_sort(sort: str, known: dict[str, Col], numbers: Sequence[Col]) -> bool:
    """Return whether groups can be in this order: one that is of the runs alone is passed over."""
    name = sort.removeprefix("-")
    return name in (N, LABEL) or (name in known and known[name] in numbers)


def _look(asked: Asked, eye: str) -> tuple[int, int]:
    return look_of(asked.eyes.index(eye)) if eye in asked.eyes else (0, 0)


def _heads(asked: Asked, shown: Sequence[Col]) -> list[Head]:
    last = len(shown) - 1
    return [
        Head(col, col.words, _now(asked, col.name), place > 0, place < last)
        for place, col in enumerate(shown)
    ]


def _now(asked: Asked, name: str) -> str:
    """Return how the table is sorted by a column, as ARIA says it; empty: it is not."""
    return {name: "ascending", f"-{name}": "descending"}.get(asked.sort, "")


def asked_next(asked: Asked, query: QueryDict, known: dict[str, Col], visible: Any) -> Asked:
    """Return what is asked once a button of the table has been pressed: each names one change of the address.

    ``by``: sort by a column, or turn its order. ``turn``: show or hide a curve. ``eyes``: ``none``, or all of these.
    ``earlier``, ``later``: move a column. Raises InvalidInput.
    """
    if by := query.get("by"):
        following = {by: f"-{by}", f"-{by}": ""}.get(asked.sort, by)
        return asked.but(sort=following)
    if turn := query.get("turn"):
        return asked.turned(turn[:200])
    if "eyes" in query:
        eyes = query.getlist("eyes")
        return replace(
            asked, eyes=() if eyes == ["none"] else tuple(dict.fromkeys([*asked.eyes, *eyes]))[:MOST_CURVES]
        )
    for way, by_places in (("earlier", -1), ("later", 1)):
        if name := query.get(way):
            names = [col.name for col in selectors.shown_columns(known, asked.columns, visible)]
            col = selectors.resolve(known, name, "columns").name
            if col in names:
                place = names.index(col)
                names.insert(max(0, place + by_places), names.pop(place))
            return asked.but(columns=tuple(names))
    return asked


def cell_of(col: Col, value: Any, run: Run) -> Cell:
    """Return what stands in a run's cell: what was measured in three digits, what somebody has set as it was set."""
    if value is None:
        return Cell(col.words, NONE, col.kind == "number")
    if col.kind == "time":
        return Cell(col.words, moment=value)
    if col.kind == "state":
        words = run.job.words
        return Cell(col.words, words.label, state=words.mark)
    if isinstance(value, str):
        return Cell(col.words, value, col.kind == "number")
    return Cell(col.words, number_words(col, value), number=True)


def number_words(col: Col, value: float) -> str:
    """Return a number of a column as people read it."""
    if col.name == "seconds":
        return duration(value)
    if col.field:
        return f"{int(value):,}"
    return compact(value) if col.family in {"metric", "loss", "best"} else exact(value)


def mean_cell(col: Col, mean: Mean | None, runs: int) -> Cell:
    """Return what stands in a group's cell: mean ± half of the 95 % interval; of how many, if not of all."""
    if mean is None:
        return Cell(col.words, NONE, number=True)
    told = [f"± {compact(mean.half)}"] if mean.half is not None else []
    told += [f"n {mean.n}"] if mean.n != runs else []
    alike = mean.half in (0.0, None) and not col.field
    text = duration(mean.value) if col.name == "seconds" else compact(mean.value)
    text = number_words(col, mean.value) if alike else text
    if col.name == "seconds" and mean.half is not None:
        told[0] = f"± {duration(mean.half)}"
    return Cell(col.words, text, number=True, more=" ".join(told))


def _legend(asked: Asked, visible: Any) -> list[Legend]:
    if not asked.eyes:
        return []
    told = {eye: eye for eye in asked.eyes}
    if not asked.group:
        ids = [pk for eye in asked.eyes if (pk := row_id(eye))]
        rows = visible.filter(pk__in=ids).values_list("pk", "experiment__slug", "branch__slug")
        told = {str(pk): f"{pk} {experiment}/{branch}" for pk, experiment, branch in rows}
    places = enumerate(asked.eyes)
    return [Legend(eye, told[eye], *look_of(place)) for place, eye in places if eye in told]


def _of_curves(asked: Asked) -> Asked:
    return replace(asked, page="", sort="", columns=(), filter=asked.filter if asked.group else "")


def _moving(asked: Asked, visible: Any) -> bool:
    """Return whether a curve that is shown may still grow."""
    active = visible.filter(state__in=ACTIVE)
    if not asked.group:
        active = active.filter(pk__in=[pk for eye in asked.eyes if (pk := row_id(eye))])
    return bool(active.exists())


def _choices(known: dict[str, Col], table: Table) -> list[tuple[str, list[tuple[Col, bool]]]]:
    """Return the columns that can be chosen, by what stands above them, and whether each is shown."""
    chosen = {col.name for col in table.shown}
    found: dict[str, list[tuple[Col, bool]]] = {}
    for col in known.values():
        if col.name != "run":
            found.setdefault(FAMILIES.get(col.family, "Other"), []).append((col, col.name in chosen))
    return list(found.items())


def _group_choices(known: dict[str, Col], table: Table) -> Iterator[tuple[str, str, bool]]:
    """Yield what the table can be grouped by: (name, words, chosen)."""
    for col in known.values():
        fits = col.name in {"experiment", "branch", "state", "kind", "owner"} or (
            not col.field and col.family in {"study", "train", "model", "data", "config", "weight"}
        )
        if fits or col == table.by:
            yield col.name, col.words, col == table.by


def _exports(asked: Asked, table: Table) -> list[tuple[str, str]]:
    made = QueryDict(mutable=True)
    made["columns"] = answers.listing(col.name for col in table.shown)
    for name, value in (("filter", asked.filter), ("sort", "" if asked.group else asked.sort)):
        if value:
            made[name] = value
    base = f"{reverse('api:run-export')}?{made.urlencode()}"
    return [("CSV", f"{base}&form=csv"), ("Parquet", f"{base}&form=parquet")]


def acts(user: Any) -> dict[str, ActionType]:
    """Return the actions on jobs that ask nothing, so that they can be done to several at once, by their verbs."""
    found = [kind for kind in actions_on(Job) if not kind.model_fields]
    return {kind.verb: kind for kind in found if may_operate(user) or not issubclass(kind, ByOperators)}

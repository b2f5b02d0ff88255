"""Finds rows of the database by a few letters of their names, in one query, the best first."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import Case, CharField, IntegerField, Model, Q, QuerySet, TextField, Value, When
from django.db.models.lookups import IContains

from accsite.search import BEGINS, EXACT, HOLDS, IN_ORDER, LISTED, Query

M = TypeVar("M", bound=Model)


class InOrder(IContains):
    """Whether a text has these letters in this order, in either case, whatever stands between them."""

    def process_rhs(self, qn: Any, connection: Any) -> Any:
        """Return the pattern: ``dg`` becomes ``%d%g%``."""
        sql, _ = super().process_rhs(qn, connection)
        letters = (connection.ops.prep_for_like_query(letter) for letter in str(self.rhs))
        return sql, [f"%{'%'.join(letters)}%"]


# Under a name of its own only: to the database it is the operator of icontains.
for _kind in (CharField, TextField):
    _kind.register_lookup(InOrder, "in_order")


def best(rows: QuerySet[M], query: Query, name: str, *also: str, numbered: bool = False) -> QuerySet[Any]:
    """Return the rows that are what was asked for, best first, then newest; ``rank`` says how well each is.

    name: the field that holds what a row is called. also: fields that may hold a term as well, such as the name of
    what it belongs to. numbered: whether people call a row by its number.
    """
    if not query.terms:
        return rows.annotate(rank=Value(LISTED)).order_by("-pk")
    wanted = Q()
    holds = Q()
    for term in query.terms:
        elsewhere = Q()
        for field in also:
            elsewhere |= Q(**{f"{field}__icontains": term})
        held = Q(**{f"{name}__icontains": term}) | elsewhere
        holds &= held
        wanted &= Q(**{f"{name}__in_order": term}) | elsewhere if len(term) > 1 else held
    ranks = [
        When(Q(**{f"{name}__iexact": query.text}), then=EXACT),
        When(Q(**{f"{name}__istartswith": query.text}), then=BEGINS),
        When(holds, then=HOLDS),
    ]
    if numbered and query.number is not None:
        wanted |= Q(pk=query.number)
        ranks.insert(0, When(Q(pk=query.number), then=EXACT))
    rank = Case(*ranks, default=IN_ORDER, output_field=IntegerField())
    return rows.filter(wanted).annotate(rank=rank).order_by("rank", "-pk")

"""Draw the traversals of a study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from accsite.actions import Action
from accsite.apps.studies.models import Study
from accsite.apps.studies.services.traversals import draw_traversals
from accsite.apps.studies.traversals import to_draw

OF_A_SWEEP = "a sweep shows no traversals; confirm its winner, and draw those of that study"


class DrawTraversals(Action):
    """Draw the traversals of each arm and seed that is done and has none.

    Each is a job, which waits until nothing else does, so that the study is not held up. They appear on the page of the
    study as they end.
    """

    on = Study
    verb: ClassVar[str] = "draw"
    label: ClassVar[str] = "Draw traversals"
    said: ClassVar[str] = "Traversals of study {thing.name} are being drawn; they appear here by themselves."

    most: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        title="Jobs at most",
        description="one draws an arm and a seed, the first seeds first; empty: as many as there are to draw",
    )

    @classmethod
    def possible(cls, study: Study) -> str:
        if study.is_sweep:
            return OF_A_SWEEP
        found = to_draw(study)
        if not found.done:
            return "no seed is done yet"
        return "" if found.missing else "each seed that is done has them, or a job that draws them"

    @classmethod
    def suggested(cls, study: Study) -> Mapping[str, Any]:
        return {"most": len(to_draw(study).missing) or None}

    def run(self, actor: Any, study: Study) -> Study:
        draw_traversals(actor=actor, study=study, most=self.most)
        return study

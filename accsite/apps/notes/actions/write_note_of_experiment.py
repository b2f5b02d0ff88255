"""Write the note of an experiment."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import SkipValidation

from accsite.actions import Action
from accsite.apps.notes.services import write_note
from accsite.apps.training.models import Experiment


class WriteNoteOfExperiment(Action):
    """Write its note, in Markdown; ``version`` is the one that was read, so that nothing of another is lost."""

    on = Experiment
    verb: ClassVar[str] = "note"

    text: SkipValidation[str] = ""
    version: SkipValidation[int | None] = None

    def run(self, actor: Any, experiment: Experiment) -> Experiment:
        write_note(actor=actor, about=experiment, text=self.text, version=self.version)
        return experiment

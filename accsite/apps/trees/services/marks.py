"""Tags, notes and stars: what people say of checkpoints. A tag or a star keeps one from being pruned."""

from __future__ import annotations

from typing import Any

import structlog
from django.db import IntegrityError, transaction

from acc.errors import InvalidInput
from accsite.apps.jobs.services.unit import touch, unit_of_work
from accsite.apps.training.models import Checkpoint
from accsite.apps.training.services.locks import lock_experiment
from accsite.errors import WrongState
from accsite.names import clean_name

MAX_NOTE_LENGTH = 10_000
CHANGES = ("tag", "note", "starred")
log = structlog.get_logger(__name__)


@unit_of_work()
def mark_checkpoint(*, actor: Any, checkpoint: Checkpoint, **changes: Any) -> Checkpoint:
    """Return the checkpoint with another ``tag`` (unique in its experiment, "" for none), ``note`` or ``starred``.

    Raises InvalidInput naming each wrong field, WrongState for a deleted checkpoint.
    """
    lock_experiment(checkpoint.experiment_id)
    if not Checkpoint.objects.filter(pk=checkpoint.pk).exists():
        raise WrongState({"checkpoint": f"checkpoint {checkpoint.pk} was deleted; restore it first"})
    errors: dict[str, list[str]] = {
        name: [f"{name!r} cannot be changed; known: {', '.join(CHANGES)}"]
        for name in changes
        if name not in CHANGES
    }
    if not changes:
        errors["__all__"] = ["nothing to change; give tag, note or starred"]
    cleaned: dict[str, Any] = {}
    for name, clean in (("tag", _tag), ("note", _note), ("starred", _starred)):
        if name in changes:
            try:
                cleaned[name] = clean(checkpoint, changes[name])
            except InvalidInput as error:
                errors.update(error.fields)
    if errors:
        raise InvalidInput(errors)
    try:
        with transaction.atomic():
            Checkpoint.objects.filter(pk=checkpoint.pk).update(**cleaned)
    except IntegrityError:
        raise InvalidInput({"tag": f"{cleaned.get('tag')!r} is the tag of another checkpoint"}) from None
    for name, value in cleaned.items():
        setattr(checkpoint, name, value)
    log.info("checkpoint_marked", checkpoint=checkpoint.pk, changes=sorted(cleaned), by=str(actor or ""))
    touch(f"checkpoints:{checkpoint.experiment_id}")
    return checkpoint


def _tag(checkpoint: Checkpoint, value: Any) -> str:
    if value in ("", None):
        return ""
    try:
        tag: str = clean_name(value)
    except InvalidInput as error:
        raise InvalidInput({"tag": next(iter(error.fields.values()))}) from None
    if tag.isdecimal():  # commands take a tag or an id in one place, and a number is an id there
        raise InvalidInput(tag=f"{tag!r} would be taken for a checkpoint's id; add a letter, as in v{tag}")
    holder = Checkpoint.everything.filter(experiment=checkpoint.experiment_id, tag=tag).exclude(
        pk=checkpoint.pk
    )
    if (found := holder.first()) is not None:
        raise InvalidInput(
            {"tag": f"{tag!r} is the tag of checkpoint {found.pk}; choose another, or take it off there"}
        )
    return tag


def _note(_: Checkpoint, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidInput({"note": f"{value!r} is not text"})
    if len(value) > MAX_NOTE_LENGTH or "\0" in value:
        raise InvalidInput({"note": f"it has {len(value)} characters; at most {MAX_NOTE_LENGTH}, and no NUL"})
    return value


def _starred(_: Checkpoint, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput({"starred": f"{value!r} is neither true nor false"})
    return value

"""What a job's page says of the way it trains: batch, arithmetic, schedule, and when it ends by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from acc.specs import TrainSpec
from accsite.apps.jobs.models import Job
from accsite.numbers import exact

PRECISIONS = {"fp32": "32 bit", "bf16": "bfloat16", "fp16": "16 bit, loss scaled"}
COMPILED = {
    "default": "compiled",
    "reduce-overhead": "compiled, CUDA graphs",
    "max-autotune": "compiled, CUDA graphs, kernels tuned",
}
OPTIMIZERS = {"adamw": "AdamW", "adam": "Adam", "sgd": "SGD", "muon": "Muon"}


def train_facts(job: Job) -> list[tuple[str, str]]:
    """Return name and text of each fact of a train job; a job of an older version has the defaults of today."""
    asked = job.spec.get("train") or {}
    known = {name: value for name, value in asked.items() if name in TrainSpec.model_fields}
    train = TrainSpec.model_validate({"steps": 1, **known})
    return [
        ("Batch", _batch(train)),
        ("Optimizer", _optimizer(train)),
        ("Computed in", ", ".join(_computed(train, job.result or {}))),
        ("Ends", _ends(train)),
        *([("Held-out combinations", train.combinations)] if train.combinations else []),
        *((f"Rows of {key}", words) for key, words in (job.result or {}).get("data", {}).items()),
    ]


def _batch(train: TrainSpec) -> str:
    text = f"{train.batch_size:,} images"
    if train.accumulate > 1:
        text = f"{train.accumulate} times {train.batch_size:,} images for each update"
    return f"{text}, shared by {train.ranks} processes" if train.ranks > 1 else text


def _optimizer(train: TrainSpec) -> str:
    lowered = f"lowered to {exact(train.lr_factor)} of it"
    rate = {
        "constant": "constant",
        "one_cycle": "in one cycle",
        "cosine": "along a cosine",
        "step": f"{lowered} every {train.lr_every_steps:,} steps",
        "plateau": f"{lowered} when the total loss rests for {train.lr_patience_steps:,} steps",
    }[train.lr_schedule]
    if train.lr_warmup_steps:
        rate += f", warmed up over {train.lr_warmup_steps:,} steps"
    clipped = "" if train.grad_clip_norm is None else f", gradients clipped at {exact(train.grad_clip_norm)}"
    return f"{OPTIMIZERS[train.optimizer]}, learning rate {exact(train.lr)}, {rate}{clipped}"


def _computed(train: TrainSpec, result: dict[str, Any]) -> Iterator[str]:
    known = result.get("precision", train.precision)
    yield PRECISIONS.get(known, "bfloat16 if the device computes it, else 32 bit")
    if train.compile != "off":
        yield COMPILED[train.compile]
    if train.channels_last:
        yield "channels last"


def _ends(train: TrainSpec) -> str:
    end = f"after {train.steps:,} steps"
    if not train.early_stop:
        return end
    return f"{end}, or once '{train.early_stop}' has not fallen for {train.early_stop_patience:,}"

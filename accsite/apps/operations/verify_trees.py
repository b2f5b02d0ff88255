"""Verifies what is done to the checkpoint tree: forks that are compared, and models that grow."""

from __future__ import annotations

import math
from collections.abc import Mapping

from accsite.apps.evaluation.models import Evaluation
from accsite.apps.operations.verify import Verification, require
from accsite.apps.operations.verify_workshop import Workshop
from accsite.apps.training import measures
from accsite.apps.training.differences import spec_difference
from accsite.apps.training.models import Checkpoint
from accsite.apps.training.selectors import tree
from accsite.apps.training.services import expansion as growing
from accsite.apps.training.services import experiments, tasks

STEPS = 150
GRAINS = 1e-3
"""How far a metric of equal outputs may differ: metrics of what is quantised in two runs."""


def forks(run: Verification, shop: Workshop) -> None:
    """Two branches from one root differ in one task; both are traversed and compared."""
    digits, thickness = shop.dataset("HandwrittenDigits"), shop.dataset("Thickness")
    main = shop.learner("forks", digits)
    with run.step("a root is trained") as step:
        root = shop.trained(main, STEPS)
        step.text = str(root)
    with run.step("two branches are forked from it") as step:
        arms = {
            name: experiments.create_branch(
                actor=shop.actor, experiment=main.experiment, name=name, from_checkpoint=root
            )
            for name in ("digits only", "with thickness")
        }
        tasks.add_task(
            actor=shop.actor,
            branch=arms["with thickness"],
            task_class="RegressionTask",
            dataset=thickness,
            name="Thickness",
            factor="thickness",
            params={"target_name": "thickness"},
        )
        require(all(arm.head_id == root.pk for arm in arms.values()), "a fork does not begin at the root")
        step.text = ", ".join(arms)
    with run.step("both are trained on") as step:
        heads = {name: shop.trained(arm, STEPS) for name, arm in arms.items()}
        main.refresh_from_db()
        require(main.head_id == root.pk, "training a fork has moved the head of the branch it came from")
        parents = {node.id: node.parent for node in tree(main.experiment).nodes}
        require(
            all(_leads_to(parents, head.pk, root.pk) for head in heads.values()),
            "a fork's checkpoint does not hang below the root in the tree",
        )
        step.text = ", ".join(str(head) for head in heads.values())
    one, two = heads.values()
    found: list[Evaluation] = []
    for name, head in heads.items():
        with run.step(f"{name}: traversals are drawn") as step:
            evaluation = shop.evaluated(head, "metrics", "traversals", dataset=digits.slug, seeds=3, steps=5)
            drawn = evaluation.artifacts.filter(kind="traversals")
            groups = [picture.name for picture in drawn]
            why = evaluation.parts.filter(name="traversals").first()
            require(groups, f"none was drawn: {why.reason or why.reasons if why else 'no reason is given'}")
            require(
                all(picture.meta["steps"] == 5 and picture.meta["seeds"] == 3 for picture in drawn),
                "a traversal has not the steps and seeds asked for",
            )
            found.append(evaluation)
            step.text = ", ".join(groups)
    with run.step("the two are compared") as step:
        step.text = _compare(one, two)


def expansion(run: Verification, shop: Workshop) -> None:
    """A trained model grows: by identity nothing changes, at random it loses and learns again."""
    branch = shop.learner("grow", shop.dataset("HandwrittenDigits"))
    with run.step("a model is trained") as step:
        root = shop.trained(branch, STEPS)
        before = _metrics(shop.evaluated(root, "metrics", "reconstructions"))
        step.text = _words(before)
    grown: dict[str, Checkpoint] = {}
    after: dict[str, Mapping[str, float]] = {}
    for start in ("identity", "random"):
        with run.step(f"one encoder stage more, {start}") as step:
            job = growing.submit_expansion(
                actor=shop.actor,
                checkpoint=root,
                expansion={"where": "encoder_stage", "start": start},
                branch_name=f"grown {start}",
            )
            shop.ended(job)
            grown[start] = Checkpoint.objects.get(pk=job.result["checkpoint"])
            require(grown[start].parent_id == root.pk, "the grown checkpoint does not hang below its parent")
            stages = grown[start].spec["model"]["params"].get("encoder_stages")
            require(stages == 1, f"the grown model has {stages} encoder stages, and 1 was expected")
            after[start] = _metrics(shop.evaluated(grown[start], "metrics", "reconstructions"))
            step.text = _words(after[start])
    with run.step("identity keeps the outputs") as step:
        worst = max(
            abs(after["identity"][name] - before[name]) / max(1, abs(before[name])) for name in before
        )
        require(
            worst <= GRAINS, f"a metric has changed by {worst:.2g} of its value: {_words(after['identity'])}"
        )
        step.text = f"largest change of a metric {worst:.1g}"
    with run.step("random drops") as step:
        key = _quality(before)
        fell = before[key] - after["random"][key]
        require(fell > 0, f"{key} was {before[key]:.3f} and is {after['random'][key]:.3f}: it did not drop")
        step.text = f"{key} {before[key]:.3f} to {after['random'][key]:.3f}"
    with run.step("trained on, it recovers, and exceeds what it grew from") as step:
        recovered = _metrics(shop.evaluated(shop.trained(grown["random"].branch, STEPS), "metrics"))
        require(recovered[key] > before[key], f"{key} is {recovered[key]:.3f} after {before[key]:.3f}")
        step.text = f"{key} {after['random'][key]:.3f} to {recovered[key]:.3f}"


def _compare(one: Checkpoint, two: Checkpoint) -> str:
    """Return in words how two checkpoints differ; they must in their tasks, and in what was measured of both."""
    difference = spec_difference(one.spec, two.spec)
    added = [task["name"] for task in difference.get("tasks", {}).get("added", ())]
    require(
        added == ["Thickness"],
        f"the specifications should differ by the task Thickness; they do by {difference}",
    )
    require("model" not in difference, f"the models differ: {difference.get('model')}")
    left, right = measures.of(one), measures.of(two)
    shared = sorted(left.keys() & right.keys())
    require(shared, "the two have no metric in common")
    differing = [name for name in shared if left[name] != right[name]]
    require(differing, f"all {len(shared)} metrics are equal, though the branches were trained differently")
    return f"the second has the task Thickness more; {len(differing)} of {len(shared)} metrics differ"


def _metrics(evaluation: Evaluation) -> dict[str, float]:
    found = {
        f"{metric.task_key} {metric.name}": metric.value
        for metric in evaluation.metrics.exclude(task_key="")
        if metric.value is not None and math.isfinite(metric.value)
    }
    require(found, "the evaluation measured nothing")
    return found


def _quality(metrics: Mapping[str, float]) -> str:
    """Return the name of the metric that tells a random stage soonest: how well images are drawn."""
    found = [name for name in metrics if name.endswith("psnr")]
    require(found, f"no psnr was measured, only {', '.join(metrics)}")
    return found[0]


def _words(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in metrics.items())


def _leads_to(parents: Mapping[int, int | None], node: int | None, root: int) -> bool:
    while node is not None and node != root:
        node = parents.get(node)
    return node == root

"""Figures of a study: each part is what it says, as a file that can be read, and arms are told without colours."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from acc.errors import InvalidInput
from acc.studies import Measured, Result, Study, figures

NAMES = ("digits only", "curriculum $x_1$ & <more>")


@pytest.fixture
def study() -> Study:
    return Study.model_validate(
        {
            "name": "a <study>",
            "arms": [{"name": NAMES[0]}, {"name": NAMES[1], "changes": {"lr": 1}}],
            "seeds": 6,
            "outcomes": [{"name": "ufr"}, {"name": "seconds", "unit": "s"}],
            "claims": [{"first": NAMES[1], "second": NAMES[0], "outcome": "ufr", "by": 0.05}],
        }
    )


@pytest.fixture
def results(study: Study) -> list[Result]:
    return [
        Result(
            arm=arm.name,
            seed=seed,
            status="succeeded",
            values={
                "ufr": Measured(value=0.4 + 0.2 * place + seed / 100, sample="s"),
                "seconds": Measured(value=50.0),
            },
        )
        for place, arm in enumerate(study.arms)
        for seed in study.seeds
    ]


def words(svg: bytes) -> str:
    return " ".join("".join(ElementTree.fromstring(svg).itertext()).split())


def curve(arm: str, steps: int) -> figures.Curve:
    level = np.linspace(1, 0.5, steps)
    return figures.Curve(arm, 6, level, level - 0.1, level + 0.1)


def test_a_figure_has_outcomes_differences_and_curves(study: Study, results: list[Result]) -> None:
    curves = [figures.OverSteps("raw/digit", np.arange(20.0), [curve(name, 20) for name in NAMES])]
    shown = words(figures.draw(study, results, "svg", curves=curves))
    for text in ("ufr", "seconds (s)", "ufr, paired differences", "digit", "step", "(n = 6)", *NAMES):
        assert text in shown
    assert f"{NAMES[1]} less {NAMES[0]}"[:20] in shown


@pytest.mark.parametrize("part", ["outcomes", "differences"])
def test_a_part_is_drawn_alone(study: Study, results: list[Result], part: str) -> None:
    shown = words(figures.draw(study, results, "svg", part))
    assert ("seconds (s)" in shown) == (part == "outcomes")
    assert ("paired differences" in shown) == (part == "differences")


def test_the_same_numbers_are_the_same_bytes(study: Study, results: list[Result]) -> None:
    for form, begins in (("svg", b"<?xml"), ("pdf", b"%PDF")):
        made = figures.draw(study, results, form)
        assert made.startswith(begins)
        assert made == figures.draw(study, results, form)


def test_a_figure_leaves_the_settings_of_a_notebook_as_they_are(study: Study, results: list[Result]) -> None:
    import matplotlib as mpl

    with mpl.rc_context({"font.size": 31.0}):
        figures.draw(study, results, "svg")
        assert mpl.rcParams["font.size"] == 31.0


def test_neighbours_have_other_shapes_and_dashes() -> None:
    for told in (figures.SHAPES, figures.DASHES):
        assert len(set(told)) == len(told) >= 6


@pytest.mark.parametrize(
    ("form", "part", "why"),
    [
        ("png", "all", "form: 'png' is refused; choose one of: svg, pdf"),
        ("svg", "dots", "part: 'dots' is refused; choose one of: all, outcomes"),
        ("svg", "curves", "nothing to draw yet of 'curves'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    study: Study, results: list[Result], form: str, part: str, why: str
) -> None:
    with pytest.raises(InvalidInput, match=why.replace("(", r"\(")):
        figures.draw(study, results, form, part)


def test_a_seed_without_a_number_is_no_dot(study: Study, results: list[Result]) -> None:
    failed = results[0].model_copy(update={"status": "failed", "values": {}})
    assert figures.draw(study, [failed, *results[1:]], "svg") != figures.draw(study, results, "svg")


@pytest.mark.parametrize("path", ["figure", "figure.png", str(Path("a.svg") / "figure")])
def test_the_ending_says_the_form(path: str) -> None:
    assert (figures.form_of("a/b.SVG"), figures.form_of("b.pdf")) == ("svg", "pdf")
    with pytest.raises(InvalidInput, match="ends in none of"):
        figures.form_of(path)


def test_a_figure_that_is_higher_than_any_paper_is_refused_before_it_is_drawn() -> None:
    arms = [{"name": f"a{n}", "changes": {"n": n} if n else {}} for n in range(400)]
    many = Study.model_validate({"name": "s", "arms": arms, "seeds": 1, "outcomes": [{"name": "ufr"}]})
    done = [
        Result(arm=arm.name, seed=0, status="succeeded", values={"ufr": Measured(value=0.5)})
        for arm in many.arms
    ]
    with pytest.raises(InvalidInput, match="128 inches high, and 100 are the most"):
        figures.draw(many, done, "pdf")

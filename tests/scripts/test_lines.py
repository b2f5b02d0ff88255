"""No template, script or style of ours has a line that people cannot read."""

from __future__ import annotations

from pathlib import Path

from scripts.lines import LIMIT, complaints


def write(root: Path, name: str, text: str) -> None:
    path = root / "accsite" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_line_that_is_too_long_is_named_with_its_place(tmp_path: Path) -> None:
    write(tmp_path, "page.html", f"<p>\n{'x' * (LIMIT + 1)}\n{'é' * LIMIT}\n</p>\n")
    assert list(complaints(tmp_path)) == ["accsite/page.html:2: 121 characters; at most 120 are allowed"]


def test_each_declaration_of_a_style_has_a_line_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, "static/app.css", "a { color: red; margin: 0; }\nb {\n\tcolor: red;\n}\n")
    assert list(complaints(tmp_path)) == [
        "accsite/static/app.css:1: more than one declaration; each has a line of its own"
    ]


def test_what_others_wrote_and_what_is_no_page_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path, "static/vendor/library.min.js", "x" * 500)
    write(tmp_path, "notes.txt", "x" * 500)
    assert list(complaints(tmp_path)) == []

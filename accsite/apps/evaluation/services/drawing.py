"""What was measured as files: one sprite for each axis, and JSON where numbers say more than rows can."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from acc.render import heat, reconstruction_rows, sprite
from acc.results import CellImages, EvalResult, LatentAxis

CELL_COLUMNS = 16


@dataclass(frozen=True)
class Drawn:
    """A file to be kept, and what a page must know of it. ``tile``: width and height of one image in pixels."""

    kind: str
    name: str
    data: bytes
    meta: dict[str, Any] = field(default_factory=dict)
    suffix: str = ".png"
    media_type: str = "image/png"


def draw(result: EvalResult, cells: CellImages | None = None) -> Iterator[Drawn]:
    """Yield every file of a result."""
    yield from _reconstructions(result)
    yield from _traversals(result)
    yield from _sorts(result)
    yield from _attention(result)
    if result.factoring is not None:
        found = json.dumps(result.factoring.as_dict(), allow_nan=False).encode()
        yield Drawn("ufr", result.dataset_key, found, {}, ".json", "application/json")
        if cells is not None and len(cells.indices):
            columns = min(CELL_COLUMNS, len(cells.indices))
            meta = {**_grid(cells.images, columns), "indices": list(cells.indices)}
            yield Drawn("ufr_images", result.dataset_key, sprite(cells.images, columns=columns), meta)


def reasons(result: EvalResult) -> dict[str, dict[str, str]]:
    """Return part -> axis -> why nothing is drawn there."""
    return {
        "traversals": {each.axis.name: each.reason for each in result.traversals if each.reason},
        "sort": {each.axis.name: each.reason for each in result.sorts if each.reason},
    }


def _reconstructions(result: EvalResult) -> Iterator[Drawn]:
    for grid in result.reconstructions:
        meta = {
            **_grid(np.concatenate([grid.inputs] * 3), len(grid.inputs)),
            "images": len(grid.inputs),
            "indices": list(grid.indices),
            "rows": ["input", "output", "difference"],
            "of": grid.rows,
        }
        yield Drawn("reconstructions", grid.dataset_key, reconstruction_rows(grid.inputs, grid.outputs), meta)


def _traversals(result: EvalResult) -> Iterator[Drawn]:
    for each in result.traversals:
        if each.reason:
            continue
        seeds, steps = each.images.shape[:2]
        tiles = np.concatenate([each.seeds[:, None], each.images], axis=1).reshape(-1, *each.seeds.shape[1:])
        meta = {
            **_grid(tiles, steps + 1),
            **_axis(each.axis),
            "dataset": each.dataset_key,
            "indices": list(each.indices),
            "seeds": seeds,
            "steps": steps,
            "values": np.asarray(each.values).tolist(),
            "starts": np.asarray(each.starts).tolist(),
        }
        yield Drawn("traversals", each.axis.name, sprite(tiles, columns=steps + 1), meta)


def _sorts(result: EvalResult) -> Iterator[Drawn]:
    for each in result.sorts:
        if each.lowest is None or each.highest is None:
            continue
        tiles = np.concatenate([each.lowest.images, each.highest.images])
        columns = len(each.lowest.images)
        meta = {
            **_grid(tiles, columns),
            **_axis(each.axis),
            "dataset": each.dataset_key,
            "lowest": _rows(each.lowest),
            "highest": _rows(each.highest),
        }
        yield Drawn("sort", each.axis.name, sprite(tiles, columns=columns), meta)


def _attention(result: EvalResult) -> Iterator[Drawn]:
    maps = result.attention
    if maps is None:
        return
    count = len(maps.inputs)
    common = {"dataset": maps.dataset_key, "indices": list(maps.indices), "slots": list(maps.slots)}
    yield Drawn(
        "attention", "inputs", sprite(maps.inputs, columns=count), {**_grid(maps.inputs, count), **common}
    )
    for number, slot in enumerate(maps.slots):
        tiles = heat(maps.maps[:, number])
        meta = {
            **_grid(tiles, count),
            **common,
            "slot": slot,
            "mean": float(maps.maps[:, number].mean()),
            "highest": float(maps.maps[:, number].max()),
        }
        yield Drawn("attention", slot, sprite(tiles, columns=count), meta)


def _grid(tiles: Any, columns: int) -> dict[str, Any]:
    count, _, height, width = tiles.shape
    return {
        "width": columns * width,
        "height": -(-count // columns) * height,
        "columns": columns,
        "tile": [width, height],
    }


def _axis(axis: LatentAxis) -> dict[str, Any]:
    return {
        "group": axis.group,
        "start": axis.start,
        "end": axis.end,
        "direction": axis.direction,
        "concept": axis.concept,
    }


def _rows(rows: Any) -> dict[str, Any]:
    return {
        "indices": list(rows.indices),
        "activations": np.asarray(rows.activations).tolist(),
        "targets": {name: np.asarray(values).tolist() for name, values in rows.targets.items()},
    }

"""A model drawn: where each layer, edge and word of a ``ModelDescription`` lies. Pixels; templates write the SVG.

From left to right as it runs: the image, the encoder, the latent with its factor groups, the decoder, the image. A
block is as high as the logarithm of its places and as wide as that of its channels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import log2, prod

from acc.description import LATENT, Edge, Layer, ModelDescription
from accsite.apps.trees.ranges import Range, ranges
from accsite.hues import HUES

TOP = 46  # above: the names of parts
GAP = 16  # between columns
LANE = 22  # height of a line where many lie side by side
MOST_OPEN = 3  # layers side by side that have their words below; more have them beside
MOST_LINES = 14  # of those
IMAGE = 92  # the most that an image is high
LABEL = 44  # three lines of words below a block
CHARACTER = 6.3  # of the words, at 11 px
LONGEST = 16  # characters of a word
MOST_SEGMENTS = 14  # ranges of the latent that are drawn; the table has all
TIMES = " \N{MULTIPLICATION SIGN} "
SIGNS = {
    "sum": "+",
    "difference": "-",
    "product": "\N{MULTIPLICATION SIGN}",
    "quotient": "\N{DIVISION SIGN}",
    "matrix product": "\N{MIDDLE DOT}",
    "join": "\N{UNION}",
}
WARMEST = 4
QUIET = frozenset(
    {"GELU", "ReLU", "LeakyReLU", "ELU", "SiLU", "Sigmoid", "Tanh", "Softplus", "Mish", "Hardswish", "ReLU6"}
)
"""Activations: drawn as a slat without words where they change no shape."""
ATTENDING = frozenset({"attention", "matrix product", "product", "MultiheadAttention"})
"""Of a decoder: what reads its slots by attention."""


@dataclass(frozen=True)
class Segment:
    """A range of the latent in its bar. hue: its factor group's place by position, None for what belongs to none."""

    name: str
    range: str
    hue: int | None
    y: float
    height: float

    @property
    def middle(self) -> float:
        return round(self.y + self.height / 2, 1)


@dataclass
class Box:
    """A layer where it is drawn. form: box, slat, join, image, latent, line; warmth: 0..4, its share of parameters.

    more: how many beside it are not drawn.
    """

    layer: Layer
    number: int
    form: str
    width: float
    height: float
    x: float = 0
    y: float = 0
    hue: int | None = None
    warmth: int = 0
    more: int = 0
    segments: list[Segment] = field(default_factory=list)

    @property
    def middle(self) -> float:
        return round(self.x + self.width / 2, 1)

    @property
    def level(self) -> float:
        return round(self.y + self.height / 2, 1)

    @property
    def right(self) -> float:
        return round(self.x + self.width, 1)

    @property
    def below(self) -> float:
        return round(self.y + self.height + 14, 1)

    @property
    def sign(self) -> str:
        return SIGNS.get(self.layer.kind, self.layer.kind[:1])

    @property
    def radius(self) -> float:
        return self.width / 2

    @property
    def glyph(self) -> str:
        """A few hills, which say that it is an image."""
        unit = self.width / 12
        x, y = self.x, self.y + self.height
        points = [(2, 2), (5, 7), (7, 4.4), (8.2, 5.6), (10, 2)]
        hills = "L".join(f"{round(x + right * unit, 1)} {round(y - up * unit, 1)}" for right, up in points)
        return f"M{hills}Z"

    @property
    def words(self) -> list[str]:
        """The lines below it."""
        if self.form not in ("box", "image"):
            return []
        lines = [shortened(self.layer.kind), shape_words(self.layer.shape)]
        if self.layer.parameters:
            lines.append(short(self.layer.parameters))
        return lines

    @property
    def beside(self) -> str:
        """The words beside it, where many lie side by side; of the last, how many more there are."""
        if self.more:
            return f"and {self.more + 1} more"
        name = self.layer.detail if self.layer.part == "head" else self.layer.kind
        return f"{shortened(name)} {short(self.layer.parameters)}".strip()

    @property
    def told(self) -> str:
        """What it is, in one sentence."""
        return told(self.layer)

    @property
    def spoken(self) -> str:
        """Its name for who does not see it: the words that are drawn, by which it can be called, and the rest."""
        seen = {
            "line": [self.beside],
            "join": [self.sign],
            "latent": [f"{each.name} {each.range}" for each in self.segments],
        }.get(self.form, self.words)
        return "; ".join(filter(None, [" ".join(seen), self.told]))


@dataclass(frozen=True)
class Wire:
    """An edge as a path. way: sequence, branch or skip."""

    source: int
    target: int
    way: str
    path: str
    hue: int | None


@dataclass(frozen=True)
class Frame:
    """A block that runs several times, drawn around what runs in it once."""

    x: float
    y: float
    width: float
    height: float
    repeats: int


@dataclass(frozen=True)
class Heading:
    """The name of a part above its layers."""

    name: str
    parameters: str
    x: float
    end: float

    @property
    def middle(self) -> float:
        return round((self.x + self.end) / 2, 1)


@dataclass(frozen=True)
class Drawing:
    """All that is drawn."""

    width: float
    height: float
    boxes: list[Box]
    wires: list[Wire]
    frames: list[Frame]
    headings: list[Heading]


@dataclass(frozen=True)
class Row:
    """A layer in the table. name, group: the factor group that it alone writes or reads, and that with its range.

    shows: the part of an evaluation that has pictures of it; '' for none.
    """

    number: int
    layer: Layer
    hue: int | None
    name: str
    group: str
    parameters: int
    shape: str
    part: str
    shows: str


def drawn(found: ModelDescription) -> Drawing:
    """Return where everything lies."""
    boxes = {box.layer.id: box for box in _boxes(found)}
    ranks = _ranks(found, boxes)
    columns: dict[int, list[Box]] = defaultdict(list)
    for name, rank in ranks.items():
        columns[rank].append(boxes[name])
    for column in columns.values():
        _crowd(column, boxes)
    x = 12.0
    for rank in sorted(columns):
        x = _place(columns[rank], x)
    frames = list(_frames(found, boxes))
    over = [y for y, _ in _over(found, boxes, ranks)]
    highest = min([*(box.y for box in boxes.values()), *(frame.y for frame in frames), *over])
    for box in boxes.values():
        box.y = round(box.y + TOP - highest, 1)
        _place_segments(box)
    heads = _heads(found, boxes[LATENT])
    boxes |= {box.layer.id: box for box in heads}
    lowest = max(box.y + box.height + (LABEL if box.words else 6) for box in boxes.values())
    return Drawing(
        width=round(x),
        height=round(lowest + 8),
        boxes=list(boxes.values()),
        wires=[*_wires(found, boxes, ranks), *_trunks(boxes[LATENT], heads)],
        frames=list(_frames(found, boxes)),
        headings=list(_headings(found, boxes)),
    )


def _crowd(column: list[Box], boxes: dict[str, Box]) -> None:
    """Give layers that are many side by side one line each, and draw no more of them than can be told apart."""
    if len(column) <= MOST_OPEN:
        return
    for box in column:
        box.form, box.width, box.height = "line", 14, LANE - 8
    for box in column[MOST_LINES:]:
        del boxes[box.layer.id]
    if len(column) > MOST_LINES:
        column[MOST_LINES - 1].more = len(column) - MOST_LINES
        del column[MOST_LINES:]


def _place(column: Sequence[Box], x: float) -> float:
    """Give the boxes of a column their places around the middle line, which is 0; return where the next one begins."""
    wide = max(_width(box) for box in column)
    small = all(box.form in ("slat", "join") for box in column)
    y = -sum(_room(box) for box in column) / 2
    for box in column:
        box.x = round(x + (0 if box.form == "line" else (wide - box.width) / 2), 1)
        box.y = round(-box.height / 2 if len(column) == 1 else y, 1)
        y += _room(box)
    return x + wide + (GAP if not small else GAP - 4)


def _heads(found: ModelDescription, latent: Box) -> list[Box]:
    """Return the heads of tasks, a line each, below the latent that they read."""
    heads = [(number, layer) for number, layer in enumerate(found.layers) if layer.part == "head"]
    y = latent.y + latent.height + 12
    boxes = []
    for number, layer in heads[:MOST_LINES]:
        group = found.group_of(layer)
        hue = None if group is None else group % HUES
        box = Box(layer, number, "line", 14, LANE - 8, x=latent.x + 16, y=round(y, 1), hue=hue)
        boxes.append(box)
        y += LANE
    if len(heads) > MOST_LINES:
        boxes[-1].more = len(heads) - MOST_LINES
    return boxes


def _trunks(latent: Box, heads: Sequence[Box]) -> Iterator[Wire]:
    for box in heads:
        x, y = round(latent.x + 6, 1), round(latent.y + latent.height, 1)
        yield Wire(latent.number, box.number, "branch", f"M{x} {y}V{box.level}H{box.x}", box.hue)


def _over(
    found: ModelDescription, boxes: dict[str, Box], ranks: dict[str, int]
) -> Iterator[tuple[float, str]]:
    """Yield how high each edge rises that passes over other layers, and its target."""
    for edge in found.edges:
        if edge.source in boxes and edge.target in boxes and edge.target in ranks:
            between = _between(edge, boxes, ranks)
            if between:
                held = [*between, boxes[edge.source], boxes[edge.target]]
                yield round(min(box.y for box in held) - 12, 1), edge.target


def _between(edge: Edge, boxes: dict[str, Box], ranks: dict[str, int]) -> list[Box]:
    first, last = ranks[edge.source], ranks[edge.target]
    return [boxes[name] for name, rank in ranks.items() if name in boxes and first < rank < last]


def rows(found: ModelDescription) -> list[Row]:
    """Return the lines of the table, all layers in the order in which they run."""
    lines = []
    for number, layer in enumerate(found.layers):
        hue = found.group_of(layer)
        lines.append(
            Row(
                number=number,
                layer=layer,
                hue=None if hue is None else hue % HUES,
                name="" if hue is None else found.ordered_groups[hue].name,
                group=_reads(found, layer),
                parameters=layer.parameters * layer.repeats,
                shape=shape_words(layer.shape),
                part={"output": "image", "unreached": "in no pass"}.get(layer.part, layer.part),
                shows=_shows(layer, hue),
            )
        )
    return lines


def short(count: int) -> str:
    """Return a number of parameters in a few characters: ``1.2 k``, ``3.4 M``; '' for none."""
    if not count:
        return ""
    for unit, name in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= unit:
            value = count / unit
            return f"{value:.1f} {name}" if value < 99.95 else f"{value:.0f} {name}"
    return str(count)


def shape_words(shape: Sequence[int]) -> str:
    """Return the sides of a shape with crosses between them."""
    return TIMES.join(str(side) for side in shape)


def shortened(word: str) -> str:
    """Return a long word with its middle left out."""
    half = (LONGEST - 1) // 2
    return word if len(word) <= LONGEST else f"{word[: half + 1]}…{word[-half:]}"


def told(layer: Layer) -> str:
    """Return what a layer is, in one sentence."""
    parts = [layer.name or layer.part, layer.kind, layer.detail, shape_words(layer.shape)]
    if layer.parameters:
        each = " each" if layer.repeats > 1 else ""
        parts.append(f"{layer.parameters:,} parameters{each}")
    if layer.repeats > 1:
        parts.append(f"{layer.repeats} times")
    if layer.layers > 1:
        parts.append(f"{layer.layers} layers in one")
    return ", ".join(dict.fromkeys(part for part in parts if part))


def _reads(found: ModelDescription, layer: Layer) -> str:
    if layer.start is None or layer.end is None:
        return ""
    number = found.group_of(layer)
    name = "" if number is None else f"{found.ordered_groups[number].name} "
    return f"{name}{layer.start}:{layer.end}"


def _shows(layer: Layer, hue: int | None) -> str:
    if layer.part == "decoder" and layer.kind in ATTENDING:
        return "attention"
    return "sort" if layer.part == "latent" or hue is not None else ""


def _boxes(found: ModelDescription) -> Iterator[Box]:
    before: tuple[int, ...] = ()
    most = max((layer.parameters * layer.repeats for layer in found.layers), default=0)
    for number, layer in enumerate(found.layers):
        if layer.part in ("head", "unreached"):
            continue
        group = found.group_of(layer)
        own = layer.parameters * layer.repeats
        channels, places = _sides(layer.shape)
        box = Box(
            layer=layer,
            number=number,
            form="box",
            width=round(10 + 5 * log2(max(channels, 1)), 1),
            height=round(22 + 17 * log2(max(places, 1)) / 2, 1),
            hue=None if group is None else group % HUES,
            warmth=round(WARMEST * (own / most) ** 0.5) if most else 0,
        )
        if layer.part == "latent":
            box.form, box.width = "latent", 104
            box.segments = _segments(found)
            box.height = sum(segment.height for segment in box.segments)
        elif layer.part in ("image", "output"):
            box.height = min(box.height, IMAGE)
            box.form, box.width = "image", box.height
        elif layer.is_join:
            box.form, box.width, box.height = "join", 18, 18
        elif layer.kind in QUIET and not layer.parameters and layer.shape == before:
            box.form, box.width = "slat", 5
        before = layer.shape
        yield box


def _sides(shape: Sequence[int]) -> tuple[int, int]:
    """Return channels and places: of a map its first side and the others, of tokens their width and number."""
    if len(shape) == 2:
        return shape[1], shape[0]
    return (shape[0], prod(shape[1:])) if shape else (1, 1)


def _segments(found: ModelDescription) -> list[Segment]:
    every = ranges(found.ordered_groups, found.latent_dim)
    shown = every[:MOST_SEGMENTS]
    if len(every) > len(shown):
        shown[-1] = Range(f"{len(every) - len(shown) + 1} more", shown[-1].start, found.latent_dim, None)
    room = max(110.0, 26.0 * len(shown))
    whole = room - 22 * len(shown)
    return [
        Segment(
            name=shortened(each.name or "free"),
            range=f"{each.start}:{each.end}",
            hue=each.hue,
            y=0,
            height=round(22 + whole * (each.end - each.start) / found.latent_dim, 1),
        )
        for each in shown
    ]


def _place_segments(box: Box) -> None:
    y, placed = box.y, []
    for segment in box.segments:
        placed.append(Segment(segment.name, segment.range, segment.hue, round(y, 1), segment.height))
        y += segment.height
    box.segments = placed


def _ranks(found: ModelDescription, boxes: dict[str, Box]) -> dict[str, int]:
    """Return the column of each layer: one behind the last of those that it reads."""
    before: dict[str, list[str]] = defaultdict(list)
    for edge in found.edges:
        before[edge.target].append(edge.source)
    ranks: dict[str, int] = {}
    last = -1
    for name, box in boxes.items():
        known = [ranks[source] for source in before[name] if source in ranks]
        # What reads nothing that is drawn, such as a latent that is a parameter, comes where it runs.
        ranks[name] = max(known) + 1 if known else last + 1
        if box.layer.part == "latent":
            ranks[name] = max(ranks[name], last + 1)
        last = max(last, ranks[name])
    return ranks


def _room(box: Box) -> float:
    if box.form == "line":
        return LANE
    return box.height + (LABEL + 8 if box.words else 10)


def _width(box: Box) -> float:
    if box.form == "line":
        return box.width + 6 + CHARACTER * len(box.beside)
    return max(box.width, *(CHARACTER * len(line) for line in box.words), 0)


def _wires(found: ModelDescription, boxes: dict[str, Box], ranks: dict[str, int]) -> Iterator[Wire]:
    hues = {id: box.hue for id, box in boxes.items()}
    for edge in found.edges:
        source, target = boxes.get(edge.source), boxes.get(edge.target)
        if source is None or target is None or target.layer.part == "head":
            continue
        between = _between(edge, boxes, ranks)
        hue = hues[edge.target] if edge.source == LATENT else hues[edge.source]
        yield Wire(source.number, target.number, edge.way, _path(source, target, between), hue)


def _path(source: Box, target: Box, between: Sequence[Box]) -> str:
    start, y1, end, y2 = source.right, source.level, target.x, target.level
    if source.form == "latent" and target.hue is not None:
        y1 = next((part.middle for part in source.segments if part.hue == target.hue), y1)
    if target.form == "latent" and source.hue is not None:
        y2 = next((part.middle for part in target.segments if part.hue == source.hue), y2)
    if source.form == "line":
        start = round(start + 4 + CHARACTER * len(source.beside), 1)
    if between:
        over = round(min(box.y for box in [*between, source, target]) - 12, 1)
        start = source.right if source.form in ("join", "slat") else round(source.middle, 1)
        begin = source.y if start != source.right else source.level
        down = round(target.middle, 1)
        bend = 12.0
        return (
            f"M{start} {begin}C{start} {over} {start} {over} {round(start + bend, 1)} {over}"
            f"H{round(down - bend, 1)}C{down} {over} {down} {over} {down} {target.y}"
        )
    if abs(y1 - y2) < 0.5:
        return f"M{start} {y1}H{end}"
    bend = round((start + end) / 2, 1)
    return f"M{start} {y1}C{bend} {y1} {bend} {y2} {end} {y2}"


def _frames(found: ModelDescription, boxes: dict[str, Box]) -> Iterator[Frame]:
    parents = {block.id: block.parent for block in found.blocks}
    for block in found.blocks:
        if block.repeats < 2:
            continue
        held = [box for box in boxes.values() if _lies_in(box.layer.block, block.id, parents)]
        if held:
            yield _frame(held, block.repeats)
    for box in boxes.values():  # a layer that comes again by itself
        around = prod(block.repeats for block in found.blocks if _lies_in(box.layer.block, block.id, parents))
        if box.layer.repeats > around:
            yield _frame([box], box.layer.repeats // around)


def _lies_in(block: str, outer: str, parents: dict[str, str]) -> bool:
    while block:
        if block == outer:
            return True
        block = parents.get(block, "")
    return False


def _frame(held: Sequence[Box], repeats: int) -> Frame:
    x, right = min(box.x for box in held) - 9, max(box.right for box in held) + 9
    top, bottom = min(box.y for box in held) - 22, max(box.y + box.height for box in held) + 9
    return Frame(round(x, 1), round(top, 1), round(right - x, 1), round(bottom - top, 1), repeats)


def _headings(found: ModelDescription, boxes: dict[str, Box]) -> Iterator[Heading]:
    for part, name in (("encoder", "Encoder"), ("latent", "Latent"), ("decoder", "Decoder")):
        held = [box for box in boxes.values() if box.layer.part == part]
        if not held:
            continue
        own = found.by_part.get(part, 0)
        words = shape_words(found.latent_shape) if part == "latent" else short(own) or "0"
        yield Heading(name, words, min(box.x for box in held), max(box.right for box in held))

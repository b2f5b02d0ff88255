// Draws one curve per task: a faint band from the lowest to the highest loss, and the smoothed line over it.

import { compact } from "./numbers.js";

// A line is told by its dashes, too: hue alone does not tell eight curves apart to every eye. Pixels on and off.
export const DASHES = [[], [14, 4], [7, 3], [14, 3, 3, 3], [10, 2], [22, 4], [10, 3, 3, 3, 3, 3], [4, 3]];
export const hue = (slot) => `hue-${slot % 8}`;

// Ticks of a log scale: 1, 2 and 5 of each power of ten, or every so many powers where there are many.
function powers(low, high) {
	const [first, last] = [Math.log10(low), Math.log10(high)];
	const every = Math.ceil((last - first) / 9);
	const ticks = [];
	for (let power = Math.floor(first / every) * every; power <= last; power += every)
		for (const part of every > 1 ? [1] : [1, 2, 5]) ticks.push(Number(`${part}e${power}`));
	const seen = ticks.filter((tick) => tick >= low && tick <= high);
	return seen.length > 1 ? seen : between(low, high);
}

// Even ticks of a part of the scale that holds too few of those: about four, by a step of 1, 2 or 5.
function between(low, high) {
	const rough = (high - low) / 4;
	const power = 10 ** Math.floor(Math.log10(rough));
	const step = power * ([1, 2, 5].find((part) => part * power >= rough) ?? 10);
	const first = Math.ceil(low / step);
	return Array.from({ length: Math.max(0, Math.floor(high / step) - first + 1) }, (_, i) =>
		Number(((first + i) * step).toPrecision(12)),
	);
}

// The places of a series whose neighbours have no value: a line has nothing to join there.
function alone(plot, index) {
	const values = plot.data[index];
	const [first, last] = plot.series[0].idxs;
	const found = [];
	for (let i = first; i <= last; i++)
		if (values[i] != null && values[i - 1] == null && values[i + 1] == null) found.push(i);
	return found;
}

// How far a loss is from what its trivial predictor loses: "-38 %".
export function against(value, base) {
	if (value == null || !base || !Number.isFinite(value)) return "";
	const share = (100 * (value - base)) / Math.abs(base);
	const size = Math.abs(share);
	const rounded = size >= 1000 ? `${compact(value / base)} x` : `${Math.round(size)} %`;
	const nearlyAll = share > -100 && share < -99; // never all of it while something is left
	const text = nearlyAll ? `${Math.min(Math.trunc(10 * size) / 10, 99.9).toFixed(1)} %` : rounded;
	return share < -0.5 ? `-${text}` : share > 0.5 ? `+${text}` : "±0 %";
}

export class LossChart {
	// callbacks: onZoom(from, to) with null to reset, onCursor(x, values by name), ticks(x) as text.
	// baselines: [{ slot, value }]; layers: [{ reach: () => values that must be in view, draw: (plot) => {} }], drawn over
	// the curves. since: where on the axis what is drawn becomes the branch's own; before it all is grey.
	constructor(host, callbacks) {
		Object.assign(this, { host, callbacks, plot: null, shape: "", names: [], baselines: [], layers: [] });
		Object.assign(this, { colours: new Map(), series: [], since: null, pointed: false });
		this.resize = new ResizeObserver(() => this.plot?.setSize(this.size()));
		this.resize.observe(host);
	}

	size() {
		return { width: Math.max(200, this.host.clientWidth), height: this.host.clientHeight };
	}

	// Return a custom property as the colour it is in this theme.
	colour(name, opacity = 1) {
		const key = `${name} ${opacity}`;
		if (!this.colours.has(key)) {
			const probe = (this.probe ??= this.host.appendChild(document.createElement("i")));
			probe.style.color = `rgb(from var(--${name}) r g b / ${opacity})`;
			this.colours.set(key, getComputedStyle(probe).color);
		}
		return this.colours.get(key);
	}

	// A colour from `since` on, and grey before it.
	paint(name, opacity) {
		const [own, grey] = [this.colour(name, opacity), this.colour("quiet", opacity * 0.7)];
		return (plot) => {
			if (this.since === null) return own;
			const { left, width } = plot.bbox;
			const at = (plot.valToPos(this.since, "x", true) - left) / width;
			if (!(at > 0)) return own;
			if (at >= 1) return grey;
			const gradient = plot.ctx.createLinearGradient(left, 0, left + width, 0);
			for (const [place, colour] of [
				[0, grey],
				[at, grey],
				[at, own],
				[1, own],
			])
				gradient.addColorStop(place, colour);
			return gradient;
		};
	}

	// series: [{ name, slot, dash, title, base }]; data: [x, Map(name -> [min, max, line])]; range: [from, to] as x;
	// ticks: x as text
	draw(series, [x, columns], range, log, ticks) {
		this.ticks = ticks;
		const theme = `${document.documentElement.dataset.theme} ${matchMedia("(prefers-color-scheme: dark)").matches}`;
		if (theme !== this.theme) this.colours.clear();
		this.theme = theme;
		const shape = JSON.stringify([series.map(({ name, slot, dash }) => [name, slot, dash]), log, theme]);
		this.range = range;
		this.series = series;
		this.names = series.map((item) => item.name);
		// An infinite loss has no place on the axis: the curve breaks off there, and all the others stay in view.
		const placed = (values) => values.map((value) => (Number.isFinite(value) && (value > 0 || !log) ? value : null));
		const data = [x, ...this.names.flatMap((name) => columns.get(name).map(placed))];
		if (shape !== this.shape) {
			this.plot?.destroy();
			this.shape = shape;
			this.plot = new uPlot(this.options(series, log), data, this.host);
			this.plot.root.setAttribute("aria-hidden", "true");
		} else {
			this.plot.batch(() => {
				this.plot.setData(data, false);
				this.plot.setScale("x", { min: range[0], max: range[1] });
			});
		}
	}

	options(series, log) {
		const text = this.colour("quiet");
		const grid = { stroke: this.colour("hairline"), width: 1 };
		const font = `12px ${getComputedStyle(this.host).fontFamily}`;
		const curves = series.flatMap(({ slot, dash }) => {
			const edge = { stroke: this.paint(hue(slot), 0.3), width: 1, points: { show: false } };
			// No line where there is no value; a value with none on either side is a dot.
			const fill = this.colour(hue(slot));
			const points = { show: () => false, filter: alone, size: 3.5, width: 0, fill };
			return [edge, { ...edge }, { stroke: this.paint(hue(slot), 1), width: 1.75, dash: DASHES[dash], points }];
		});
		const bands = series.map(({ slot }, i) => ({
			series: [3 * i + 2, 3 * i + 1],
			fill: this.paint(hue(slot), 0.13),
		}));
		return {
			...this.size(),
			legend: { show: false },
			series: [{}, ...curves],
			bands,
			scales: {
				x: { time: false, range: () => this.range },
				y: {
					distr: log ? 3 : 1,
					range: (_, low, high) => this.reach(low, high, log),
				},
			},
			axes: [
				{
					stroke: text,
					font,
					grid: { show: false },
					ticks: grid,
					size: 32,
					space: 80,
					values: (_, ticks) => ticks.map(this.ticks),
				},
				{
					stroke: text,
					font,
					grid,
					ticks: { show: false },
					size: 54,
					gap: 6,
					filter: (_, ticks) => ticks,
					incrs: log ? [Number.MAX_VALUE] : undefined,
					splits: log ? (_, __, low, high) => powers(low, high) : undefined,
					values: (_, ticks) => {
						// On a log scale with many ticks, only the powers of ten are named.
						const named = (tick) => !log || ticks.length < 12 || /^1e/.test(tick.toExponential());
						return ticks.map((tick) => (named(tick) ? compact(tick).replace(".0e+", "e") : ""));
					},
				},
			],
			cursor: {
				y: false,
				sync: { key: "acc", filters: { pub: (kind) => /^mouse(move|leave)$/.test(kind) } },
				drag: { x: true, y: false, setScale: false },
				points: { size: 7 },
				bind: {
					dblclick: () => () => {
						this.callbacks.onZoom(null, null);
						return null;
					},
				},
			},
			hooks: {
				setSelect: [
					(plot) => {
						const { left, width } = plot.select;
						if (width < 4) return;
						this.callbacks.onZoom(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
						plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
					},
				],
				setCursor: [(plot) => this.follow(plot)],
				draw: [
					(plot) => {
						this.drawBaselines(plot);
						for (const layer of this.layers) layer.draw(plot);
					},
				],
			},
		};
	}

	// What stands under the cursor, told to the page and in words beside it.
	follow(plot) {
		const at = plot.cursor.left >= 0 ? plot.cursor.idx : null;
		this.pointed = at != null;
		const values = new Map(this.names.map((name, i) => [name, at == null ? null : plot.data[3 * i + 3][at]]));
		this.callbacks.onCursor(at == null ? null : plot.data[0][at], values);
		this.tell(plot, at, values);
	}

	tell(plot, at, values) {
		if (this.callbacks.ticks === undefined) return;
		let tip = plot.over.querySelector(".tip");
		if (at == null) return tip?.remove();
		tip ??= plot.over.appendChild(Object.assign(document.createElement("div"), { className: "tip" }));
		const known = this.series.filter(({ name }) => values.get(name) != null);
		known.sort((a, b) => values.get(b.name) - values.get(a.name));
		const cell = (text, className = "") =>
			Object.assign(document.createElement("span"), { textContent: text, className });
		const rows = known.flatMap(({ name, slot, dash, title, base }) => {
			const swatch = cell("", "swatch");
			Object.assign(swatch.dataset, { slot, dash });
			return [
				swatch,
				cell(title, "clip"),
				cell(compact(values.get(name)), "num"),
				cell(against(values.get(name), base), "num soft"),
			];
		});
		tip.replaceChildren(cell(this.callbacks.ticks(Math.round(plot.data[0][at])) || "", "head"), ...rows);
		const { left, top } = plot.cursor;
		const { width, height } = plot.over.getBoundingClientRect();
		const x = left > width / 2 ? left - tip.offsetWidth - 14 : left + 14;
		const y = Math.max(0, Math.min(top - 12, height - tip.offsetHeight));
		tip.style.transform = `translate(${Math.max(0, x)}px, ${y}px)`;
	}

	// Put the crosshair at a place of the axis, as the pointer over another picture of the same steps does.
	point(x) {
		const { plot } = this;
		if (!plot) return;
		const left = x == null ? -10 : plot.valToPos(x, "x");
		plot.setCursor({ left, top: x == null ? -10 : 12 });
	}

	// The losses in view: those of the curves, from low to high, and all that is drawn over them.
	reach(low, high, log) {
		const over = this.layers.flatMap((layer) => layer.reach());
		const drawn = [...this.baselines.map((line) => line.value), ...over, low, high];
		const values = drawn.filter((value) => Number.isFinite(value) && (value > 0 || !log));
		if (!values.length) return [log ? 0.01 : 0, 1];
		const [least, most] = [Math.min(...values), Math.max(...values)];
		if (!log) return uPlot.rangeNum(least, most, 0.06, true);
		// Less than a power of ten is shown as it is: a curve that fills a tenth of the height tells nothing.
		if (most / least < 10)
			return [least / (most / least) ** 0.08, least === most ? most * 2 : most * (most / least) ** 0.08];
		return uPlot.rangeLog(least, most, 10, false);
	}

	// What each task's trivial predictor loses, or a collapsed latent costs: dotted, in the colour of the task.
	drawBaselines({ ctx, bbox, valToPos }) {
		ctx.save();
		ctx.setLineDash([2 * devicePixelRatio, 4 * devicePixelRatio]);
		ctx.lineWidth = devicePixelRatio * 1.25;
		for (const { slot, value } of this.baselines) {
			const y = valToPos(value, "y", true);
			if (!(y >= bbox.top && y <= bbox.top + bbox.height)) continue;
			ctx.strokeStyle = this.colour(hue(slot), 0.75);
			ctx.beginPath();
			ctx.moveTo(bbox.left, y);
			ctx.lineTo(bbox.left + bbox.width, y);
			ctx.stroke();
		}
		ctx.restore();
	}
}

// Draws one curve per task: a faint band from the lowest to the highest loss, and the smoothed line over it.

import { compact } from "./numbers.js";

// Ticks of a log scale: 1, 2 and 5 of each power of ten, or every so many powers where there are many.
function powers(low, high) {
	const [first, last] = [Math.log10(low), Math.log10(high)];
	const every = Math.ceil((last - first) / 9);
	const ticks = [];
	for (let power = Math.floor(first / every) * every; power <= last; power += every)
		for (const part of every > 1 ? [1] : [1, 2, 5]) ticks.push(Number(`${part}e${power}`));
	return ticks.filter((tick) => tick >= low && tick <= high);
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

export class LossChart {
	// callbacks: onZoom(from, to) with null to reset, onCursor(x, values by name). baselines: [{ slot, value }];
	// layers: [{ reach: () => values that must be in view, draw: (plot) => {} }], drawn over the curves.
	constructor(host, callbacks) {
		Object.assign(this, { host, callbacks, plot: null, shape: "", names: [], baselines: [], layers: [] });
		this.resize = new ResizeObserver(() => this.plot?.setSize(this.size()));
		this.resize.observe(host);
	}

	size() {
		return { width: Math.max(200, this.host.clientWidth), height: this.host.clientHeight };
	}

	// Return a custom property as the colour it is in this theme.
	colour(name, opacity = 1) {
		const probe = (this.probe ??= this.host.appendChild(document.createElement("i")));
		probe.style.color = `rgb(from var(--${name}) r g b / ${opacity})`;
		return getComputedStyle(probe).color;
	}

	// series: [{ name, slot }]; data: [x, Map(name -> [min, max, line])]; range: [from, to] as x; ticks: x as text
	draw(series, [x, columns], range, log, ticks) {
		this.ticks = ticks;
		const shape = JSON.stringify([
			series,
			log,
			document.documentElement.dataset.theme,
			matchMedia("(prefers-color-scheme: dark)").matches,
		]);
		this.range = range;
		this.names = series.map((item) => item.name);
		const positive = (values) => (log ? values.map((value) => (value > 0 ? value : null)) : values);
		const data = [x, ...this.names.flatMap((name) => columns.get(name).map(positive))];
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
		const text = this.colour("soft");
		const grid = { stroke: this.colour("line"), width: 1 };
		const font = "11px system-ui, sans-serif";
		const curves = series.flatMap(({ slot }) => {
			const edge = { stroke: this.colour(`slot-${slot % 8}`, 0.3), width: 1, points: { show: false } };
			const colour = this.colour(`slot-${slot % 8}`);
			// No line where there is no value; a value with none on either side is a dot.
			const points = { show: () => false, filter: alone, size: 3.5, width: 0, fill: colour };
			return [edge, { ...edge }, { stroke: colour, width: 1.75, dash: slot > 7 ? [2, 3] : undefined, points }];
		});
		const bands = series.map(({ slot }, i) => ({
			series: [3 * i + 2, 3 * i + 1],
			fill: this.colour(`slot-${slot % 8}`, 0.14),
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
					size: 30,
					space: 70,
					values: (_, ticks) => ticks.map(this.ticks),
				},
				{
					stroke: text,
					font,
					grid,
					ticks: { show: false },
					size: 48,
					gap: 4,
					filter: (_, ticks) => ticks,
					incrs: log ? [Number.MAX_VALUE] : undefined,
					splits: log ? (_, __, low, high) => powers(low, high) : undefined,
					values: (_, ticks) => {
						// On a log scale with many ticks, only the powers of ten are named.
						const named = (tick) => !log || ticks.length < 8 || /^1e/.test(tick.toExponential());
						return ticks.map((tick) => (named(tick) ? compact(tick).replace(".0e+", "e") : ""));
					},
				},
			],
			cursor: {
				y: false,
				sync: { key: "acc", filters: { pub: (kind) => /^mouse(move|leave)$/.test(kind) } },
				drag: { x: true, y: false, setScale: false },
				points: { size: 6 },
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
				setCursor: [
					(plot) => {
						const at = plot.cursor.left >= 0 ? plot.cursor.idx : null;
						const values = new Map(this.names.map((name, i) => [name, at == null ? null : plot.data[3 * i + 3][at]]));
						this.callbacks.onCursor(at == null ? null : plot.data[0][at], values);
					},
				],
				draw: [
					(plot) => {
						this.drawBaselines(plot);
						for (const layer of this.layers) layer.draw(plot);
					},
				],
			},
		};
	}

	// The losses in view: those of the curves, from low to high, and all that is drawn over them.
	reach(low, high, log) {
		const over = this.layers.flatMap((layer) => layer.reach());
		const drawn = [...this.baselines.map((line) => line.value), ...over, low, high];
		const values = drawn.filter((value) => value != null && (value > 0 || !log));
		if (!values.length) return [log ? 0.01 : 0, 1];
		const [least, most] = [Math.min(...values), Math.max(...values)];
		if (!log) return uPlot.rangeNum(least, most, 0.06, true);
		return uPlot.rangeLog(least, least === most ? most * 2 : most, 10, false);
	}

	// What each task's trivial predictor loses, or a collapsed latent costs: dashed, in the colour of the task.
	drawBaselines({ ctx, bbox, valToPos }) {
		ctx.save();
		ctx.setLineDash([7, 5]);
		ctx.lineWidth = devicePixelRatio * 1.25;
		for (const { slot, value } of this.baselines) {
			const y = valToPos(value, "y", true);
			if (!(y >= bbox.top && y <= bbox.top + bbox.height)) continue;
			ctx.strokeStyle = this.colour(`slot-${slot % 8}`, 0.75);
			ctx.beginPath();
			ctx.moveTo(bbox.left, y);
			ctx.lineTo(bbox.left + bbox.width, y);
			ctx.stroke();
		}
		ctx.restore();
	}
}

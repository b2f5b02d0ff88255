// The curves of other jobs, each job in a colour of its own and the tasks told by their dashes, labelled at the end.

import { DASHES, hue } from "./chart.js";
import { Points } from "./points.js";
import { style } from "./styles.js";

const SHOWN = 6;
const LABEL = 14; // pixels from one label to the next

export function attach(view) {
	style(view);
	const held = new Map(); // job -> Points, or null while it could not be loaded
	let lines = []; // [{ job, slot, x, y }] of what is drawn now
	let chips = null;

	function fetchJob(job) {
		held.set(job, null);
		const address = view.job().points.replace(/\d+(?=\/loss_history)/, job);
		const points = new Points(Number(job), address, view.tiles().map(view.curve));
		const show = () => {
			held.set(job, points);
			view.redraw();
		};
		const complain = (error) => {
			const place = chips.querySelector(`[data-laid="${job}"] small`);
			place.textContent = ` could not be loaded: ${error.message}`;
		};
		points.load(Infinity).then(show, complain);
	}

	function showChips(jobs) {
		chips ??= document
			.getElementById("chart-more")
			.appendChild(Object.assign(document.createElement("p"), { className: "laid row" }));
		const shown = jobs.join();
		if (chips.dataset.shown === shown) return;
		chips.dataset.shown = shown;
		chips.replaceChildren(
			...jobs.map((job) => {
				const chip = Object.assign(document.createElement("span"), { className: "chip" });
				chip.dataset.laid = job;
				chip.dataset.slot = slotOf(jobs, job);
				const swatch = Object.assign(document.createElement("span"), { className: "swatch" });
				const close = Object.assign(document.createElement("button"), {
					className: "btn ghost tiny",
					type: "button",
					textContent: "×",
					ariaLabel: `Take off job ${job}`,
				});
				close.onclick = () => view.setState({ overlay: jobs.filter((other) => other !== job).join(",") });
				chip.append(swatch, `job ${job}`, document.createElement("small"), close);
				return chip;
			}),
		);
	}

	// Hues that no task which is shown has, as far as there are any.
	function slotOf(jobs, job) {
		const taken = new Set(
			view
				.tiles()
				.filter(view.isShown)
				.map((tile) => tile.dataset.slot % 8),
		);
		const free = [0, 1, 2, 3, 4, 5, 6, 7].filter((slot) => !taken.has(slot));
		const hues = free.length ? free : [0, 1, 2, 3, 4, 5, 6, 7];
		return hues[jobs.indexOf(job) % hues.length];
	}

	const isKnown = (value) => value != null && (value > 0 || view.state.y !== "log");

	function trace({ ctx, valToPos }, { x, y }) {
		let last = null;
		ctx.beginPath();
		for (let i = 0; i < x.length; i++) {
			if (!isKnown(y[i])) continue;
			last = [valToPos(x[i], "x", true), valToPos(y[i], "y", true)];
			// No line where there is no value; a value with none on either side is a dot.
			if (isKnown(y[i - 1])) ctx.lineTo(...last);
			else if (isKnown(y[i + 1])) ctx.moveTo(...last);
			else {
				const [left, top] = last.map((at) => at - devicePixelRatio);
				ctx.fillRect(left, top, 2 * devicePixelRatio, 2 * devicePixelRatio);
			}
		}
		ctx.stroke();
		return last;
	}

	// Names where the curves end, from top to bottom, none over another.
	function label({ ctx, bbox }, ends) {
		ctx.font = `${12 * devicePixelRatio}px ${getComputedStyle(view.panel).fontFamily}`;
		ctx.textAlign = "right";
		ctx.textBaseline = "bottom";
		ends.sort((a, b) => a.y - b.y);
		const step = LABEL * devicePixelRatio;
		let above = bbox.top;
		for (const end of ends) above = end.at = Math.max(above + step, end.y - 2 * devicePixelRatio);
		let below = bbox.top + bbox.height;
		for (const end of ends.toReversed()) {
			end.at = Math.min(end.at, below);
			below = end.at - step;
			ctx.fillStyle = end.colour;
			ctx.fillText(end.text, Math.min(end.x, bbox.left + bbox.width) - 4, end.at);
		}
	}

	const layer = {
		reach: () => lines.flatMap(({ low, high }) => [low, high]),
		draw(plot) {
			const { ctx, bbox } = plot;
			ctx.save();
			ctx.beginPath();
			ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
			ctx.clip();
			ctx.lineWidth = 1.25 * devicePixelRatio;
			const many = new Set(lines.map(({ task }) => task)).size > 1;
			const ends = [];
			for (const line of lines) {
				const colour = view.chart.colour(hue(line.slot), 0.85);
				ctx.strokeStyle = ctx.fillStyle = colour;
				ctx.setLineDash(DASHES[line.task].map((length) => length * devicePixelRatio));
				const last = trace(plot, line);
				const text = many ? `${line.job} ${line.title}` : `job ${line.job}`;
				if (last) ends.push({ x: last[0], y: last[1], text, colour });
			}
			label(plot, ends);
			ctx.restore();
		},
	};
	view.chart.layers.push(layer);

	return {
		last: () => Math.max(0, ...jobs().map((job) => (held.get(job)?.end ?? 1) - 1)),
		ready() {
			lines = [];
			showChips(jobs());
			for (const job of jobs()) {
				if (!held.has(job)) fetchJob(job);
				const points = held.get(job);
				points?.need(view.tiles().map(view.curve))?.then(view.redraw, () => {});
				const tiles = points ? view.tiles().filter((tile) => view.isShown(tile) && points.has(view.curve(tile))) : [];
				if (!tiles.length) continue;
				const [from, to] = view.range();
				const [x, columns] = points.view(Math.max(0, from), to, tiles.map(view.curve), Number(view.state.smooth));
				for (const tile of tiles) {
					const y = columns.get(view.curve(tile))[2];
					const known = y.filter(isKnown);
					if (known.length)
						lines.push({
							job,
							slot: slotOf(jobs(), job),
							task: Number(tile.dataset.dash),
							title: tile.dataset.name,
							x: x.map(view.at),
							y,
							low: Math.min(...known),
							high: Math.max(...known),
						});
				}
			}
		},
	};

	function jobs() {
		const own = String(view.points()?.job);
		return [...new Set(view.state.overlay.split(","))]
			.filter((job) => /^\d{1,15}$/.test(job) && job !== own)
			.slice(0, SHOWN);
	}
}

// The curves of other jobs, faint and dashed in the colours of the same tasks, each labelled with its job.

import { Points } from "./points.js";
import { style } from "./styles.js";

const SHOWN = 6;

export function attach(view) {
	style(view);
	const held = new Map(); // job -> Points, or null while it could not be loaded
	let lines = []; // [{ job, slot, x, y }] of what is drawn now
	let chips = null;

	function fetchJob(job) {
		held.set(job, null);
		const points = new Points(Number(job), view.job().points.replace(/\d+(?=\/loss_history)/, job));
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
				const close = Object.assign(document.createElement("button"), {
					className: "btn ghost tiny",
					type: "button",
					textContent: "×",
					ariaLabel: `Take off job ${job}`,
				});
				close.onclick = () => view.setState({ overlay: jobs.filter((other) => other !== job).join(",") });
				chip.append(`┄ job ${job}`, document.createElement("small"), close);
				return chip;
			}),
		);
	}

	const layer = {
		reach: () => lines.flatMap(({ low, high }) => [low, high]),
		draw({ ctx, bbox, valToPos }) {
			ctx.save();
			ctx.beginPath();
			ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
			ctx.clip();
			ctx.setLineDash([5 * devicePixelRatio, 3 * devicePixelRatio]);
			ctx.lineWidth = 1.25 * devicePixelRatio;
			ctx.font = `${10 * devicePixelRatio}px system-ui, sans-serif`;
			ctx.textAlign = "right";
			for (const { job, slot, x, y } of lines) {
				ctx.strokeStyle = ctx.fillStyle = view.chart.colour(`slot-${slot % 8}`, 0.6);
				ctx.beginPath();
				let last = null;
				const known = (i) => y[i] != null && (y[i] > 0 || view.state.y !== "log");
				for (let i = 0; i < x.length; i++) {
					if (!known(i)) continue;
					last = [valToPos(x[i], "x", true), valToPos(y[i], "y", true)];
					// No line where there is no value; a value with none on either side is a dot.
					if (known(i - 1)) ctx.lineTo(...last);
					else if (known(i + 1)) ctx.moveTo(...last);
					else {
						const [left, top] = last.map((at) => at - devicePixelRatio);
						ctx.fillRect(left, top, 2 * devicePixelRatio, 2 * devicePixelRatio);
					}
				}
				ctx.stroke();
				if (last) ctx.fillText(job, Math.min(last[0], bbox.left + bbox.width) - 2, last[1] - 4 * devicePixelRatio);
			}
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
				const buttons = points
					? view.legend().filter((button) => button.ariaPressed === "true" && points.has(view.curve(button)))
					: [];
				if (!buttons.length) continue;
				const [from, to] = view.range();
				const [x, columns] = points.view(from, to, buttons.map(view.curve), Number(view.state.smooth));
				for (const button of buttons) {
					const y = columns.get(view.curve(button))[2];
					const known = y.filter((value) => value != null && (value > 0 || view.state.y !== "log"));
					if (known.length)
						lines.push({
							job,
							slot: Number(button.dataset.slot),
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

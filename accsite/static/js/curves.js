// The folded charts: weighted total, gradient norm and learning rate, with the crosshair of the main one.

import { LossChart } from "./chart.js";
import { compact } from "./numbers.js";
import { style } from "./styles.js";

const CURVES = [
	["total", "Weighted total"],
	["grad_norm", "Gradient norm"],
	["lr", "Learning rate"],
];

export function attach(view) {
	style(view);
	const box = document.getElementById("curves");
	const charts = CURVES.map(([name, title], slot) => {
		const figure = document.createElement("figure");
		const caption = document.createElement("figcaption");
		const host = Object.assign(document.createElement("div"), {
			className: "plot",
			role: "img",
			ariaLabel: `${title} by step`,
		});
		const value = document.createElement("b");
		caption.append(`${title} `, value);
		figure.append(caption, host);
		box.append(figure);
		const show = (values) => (value.textContent = compact(values ? values.get(name) : view.points()?.last(name)));
		const chart = new LossChart(host, {
			onZoom: (from, to) => view.chart.callbacks.onZoom(from, to),
			onCursor: (x, values) => show(x == null ? null : values),
		});
		return { name, title, slot: [5, 3, 6][slot], chart, show };
	});
	return {
		draw(span, axis) {
			if (!box.open) return;
			const names = CURVES.map(([name]) => name);
			view.need(names);
			for (const { name, title, slot, chart, show } of charts) {
				if (!view.points().has(name)) continue;
				// The rate is what it was set to: smoothing it would tell of changes that never were.
				const data = view.look([name], span, name === "lr" ? 0 : undefined);
				chart.draw(
					[{ name, slot, dash: 0, title, base: null }],
					data,
					axis,
					name !== "lr" && view.state.y === "log",
					view.ticks,
				);
				show();
			}
		},
	};
}

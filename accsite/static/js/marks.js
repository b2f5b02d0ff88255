// Marks of events on the chart: a dashed line on the canvas and, for pointer and screen reader, an element with the
// words. Fetched for a job that has any.

import { style } from "./styles.js";

export function attach(view) {
	style(view);
	const { chart } = view;
	let marks = [];
	function draw(plot) {
		const { ctx, bbox } = plot;
		const seen = new Set();
		ctx.save();
		ctx.setLineDash([3, 4]);
		for (const { id, step, place, text, grave } of marks) {
			if (place < chart.range[0] || place > chart.range[1]) continue;
			const x = Math.round(plot.valToPos(place, "x", true)) + 0.5;
			ctx.strokeStyle = chart.colour(grave ? "bad" : "warn");
			ctx.beginPath();
			ctx.moveTo(x, bbox.top);
			ctx.lineTo(x, bbox.top + bbox.height);
			ctx.stroke();
			seen.add(id);
			let flag = plot.over.querySelector(`[data-marker="${id}"]`);
			if (!flag) {
				flag = Object.assign(document.createElement("span"), {
					className: grave ? "marker bad" : "marker",
					textContent: grave ? "⚠" : "▲",
				});
				flag.dataset.marker = id;
				plot.over.append(flag);
			}
			flag.title = `step ${step.toLocaleString("en")}: ${text}`;
			flag.style.left = `${plot.valToPos(place, "x")}px`;
		}
		ctx.restore();
		for (const flag of plot.over.querySelectorAll(".marker")) if (!seen.has(flag.dataset.marker)) flag.remove();
	}
	chart.layers.push({ reach: () => [], draw });
	return {
		ready() {
			marks = [...document.querySelectorAll("#events [data-step]")].map(({ id, dataset, children }) => {
				const step = Number(dataset.step);
				const text = children[1].firstElementChild.textContent;
				return { id, step, place: view.at(step), grave: "alarm" in dataset, text };
			});
		},
	};
}

// Flags of what happened, on the chart: a dashed line on the canvas and the words above it. Those that would cover one
// another are one flag that counts them and tells all under the pointer. Fetched for a job that has any.

import { style } from "./styles.js";

const APART = 10; // pixels between two flags
const MOST_WORDS = 3;

export function attach(view) {
	style(view);
	const { chart } = view;
	let marks = [];

	const measure = document.createElement("canvas").getContext("2d");
	function width(text) {
		measure.font = `500 12px ${getComputedStyle(view.panel).fontFamily}`;
		return measure.measureText(text).width + 10;
	}

	// Flags from left to right, each with the marks that it stands for.
	function flags(plot) {
		const seen = marks.filter(({ place }) => place >= chart.range[0] && place <= chart.range[1]);
		const groups = [];
		for (const mark of seen.sort((a, b) => a.place - b.place)) {
			const left = plot.valToPos(mark.place, "x");
			const last = groups.at(-1);
			if (last && left < last.left + width(last.text) + APART) {
				last.marks.push(mark);
				last.text = words(last.marks);
			} else groups.push({ left, marks: [mark], text: words([mark]) });
		}
		return groups;
	}

	function words(some) {
		const texts = [...new Set(some.map(({ text }) => text))];
		const first = texts[0].length > 24 ? `${texts[0].slice(0, 23)}…` : texts[0];
		return texts.length > 1 ? `${first} +${texts.length - 1}` : some.length > 1 ? `${first} ×${some.length}` : first;
	}

	function draw(plot) {
		const { ctx, bbox } = plot;
		ctx.save();
		ctx.setLineDash([3 * devicePixelRatio, 4 * devicePixelRatio]);
		for (const { place, grave } of marks) {
			if (place < chart.range[0] || place > chart.range[1]) continue;
			const x = Math.round(plot.valToPos(place, "x", true)) + 0.5;
			ctx.strokeStyle = chart.colour(grave ? "bad" : "quiet", grave ? 1 : 0.7);
			ctx.beginPath();
			ctx.moveTo(x, bbox.top);
			ctx.lineTo(x, bbox.top + bbox.height);
			ctx.stroke();
		}
		ctx.restore();
		const wanted = flags(plot);
		const shown = [...plot.over.querySelectorAll(".marker")];
		for (const [i, { left, marks: some, text }] of wanted.entries()) {
			const flag = shown[i] ?? plot.over.appendChild(document.createElement("span"));
			flag.className = some.some(({ grave }) => grave) ? "marker bad" : "marker";
			flag.dataset.marker = some.map(({ id }) => id).join(" ");
			if (flag.textContent !== text) flag.textContent = text;
			flag.title = some
				.slice(-4 * MOST_WORDS)
				.map((mark) => `step ${Math.round(mark.place).toLocaleString("en")}: ${mark.text}`)
				.join("\n");
			const over = left + width(text) > plot.over.clientWidth; // at the right edge it hangs to the left
			flag.classList.toggle("back", over);
			flag.style.left = `${left}px`;
		}
		for (const flag of shown.slice(wanted.length)) flag.remove();
	}
	chart.layers.push({ reach: () => [], draw });
	return {
		ready() {
			const events = [...document.querySelectorAll("#events [data-step]")].map(({ id, dataset, children }) => {
				const step = Number(dataset.step);
				const text = children[1].firstElementChild.textContent;
				return { id, step, place: view.at(step), grave: "alarm" in dataset, text };
			});
			const others = view.flags.map((flag) => ({ ...flag, place: view.at(flag.step), grave: false }));
			marks = [...others, ...events];
		},
	};
}

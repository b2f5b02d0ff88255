// The current values as a table: what the chart shows, for reading and for copying.

import { compact, NONE } from "./numbers.js";
import { pace } from "./pace.js";
import { style } from "./styles.js";

const HEADS = ["Task", "Raw loss", "Weight × loss", "Baseline", "Against it", "Trend"];
const REST = [
	["total", "weighted total"],
	["grad_norm", "gradient norm"],
	["lr", "learning rate"],
];

const cell = (kind, text, number) =>
	Object.assign(document.createElement(kind), { textContent: text, className: number ? "num mono" : "" });

export function attach(view) {
	style(view);
	const box = Object.assign(document.createElement("div"), {
		className: "scroll",
		tabIndex: 0,
		role: "region",
		ariaLabel: "Values",
	});
	const table = box.appendChild(document.createElement("table"));
	const caption = table.createCaption();
	const head = table.createTHead().insertRow();
	head.append(
		...HEADS.map((text, i) =>
			Object.assign(cell("th", text), { scope: "col", className: i > 0 && i < 4 ? "num" : "" }),
		),
	);
	const body = table.createTBody();
	document.getElementById("chart-more").append(box);
	const due = pace(view.redraw);
	return {
		draw() {
			box.hidden = !view.state.table;
			if (box.hidden || !due()) return;
			const points = view.points();
			caption.textContent = `Job ${points.job} at step ${Math.max(0, points.end - 1).toLocaleString("en")}`;
			const tasks = view.tiles().map((tile) => tile.dataset.series);
			const others = tasks.map((series) => series.replace("raw/", "weighted/"));
			view.need([...tasks, ...others, ...REST.map(([name]) => name)]);
			const rows = view.tiles().map((tile) => {
				const { series, base } = tile.dataset;
				const words = [".health", ".trend"].map((part) => cell("td", tile.querySelector(part)?.textContent || NONE));
				const name = cell("th", tile.dataset.name);
				const values = [points.last(series), points.last(series.replace("raw/", "weighted/")), base && Number(base)];
				return [name, ...values.map((value) => cell("td", compact(value), true)), ...words];
			});
			const none = () => cell("td", "");
			const rest = REST.filter(([name]) => points.has(name)).map(([name, title]) => [
				cell("th", title),
				none(),
				cell("td", compact(points.last(name)), true),
				none(),
				none(),
				none(),
			]);
			body.replaceChildren(
				...[...rows, ...rest].map((cells) => {
					cells[0].scope = "row";
					const row = document.createElement("tr");
					row.append(...cells);
					return row;
				}),
			);
		},
	};
}

// The branch's own step under the chart: what led to the job is drawn before it, job after job, and what other
// branches had made before the fork in grey. Fetched where there is anything before the job.

import { Points } from "./points.js";

const MOST_COLUMNS = 1500;

export function attach(view) {
	const held = new Map(); // address of a job's points -> its Points
	let shown = { key: "", line: [] };
	let kept = { key: "" }; // what was drawn before the job the last time: it does not change while points come

	const active = () => view.state.x === "step" && !view.state.of && Boolean(view.job().line);
	const offset = () => Number(view.job().first);

	// [{ job, points, first, until, own, branch }], oldest first: the job's steps from `first` of the branch on count
	// until `until`; own: made on this branch.
	function line() {
		const text = view.job().line;
		if (shown.key !== text) shown = { key: text, line: text ? JSON.parse(text) : [] };
		return shown.line;
	}

	function pointsOf({ job, points, until, first }) {
		if (!held.has(points)) {
			const made = new Points(job, points, view.tiles().map(view.curve));
			held.set(points, made);
			made.load(until - first).then(view.redraw, () => {});
		}
		return held.get(points);
	}

	function before(from, names, smooth) {
		const parts = line().map((part) => [part, pointsOf(part)]);
		const ready = parts.map(([, { end, base }]) => `${end} ${Boolean(base)}`);
		const key = JSON.stringify([shown.key, from, names, smooth, ready]);
		if (kept.key === key) return kept.drawn;
		let x = [];
		let columns = new Map(names.map((name) => [name, [[], [], []]]));
		for (const [{ first, until }, points] of parts) {
			const begin = from + offset() - first;
			if (begin >= until - first || !points.end) continue;
			const [steps, drawn] = points.view(Math.max(0, begin), until - first - 1, names, smooth);
			x = x.concat(steps.map((step) => step + first - offset()));
			for (const [name, lines] of columns)
				columns.set(
					name,
					lines.map((values, i) => values.concat(drawn.get(name)[i])),
				);
		}
		const by = Math.ceil(x.length / MOST_COLUMNS);
		if (by > 1) [x, columns] = thin(x, columns, by);
		kept = { key, drawn: [x, columns] };
		return kept.drawn;
	}

	return {
		first: () => (active() && line().length ? Math.min(0, line()[0].first - offset()) : 0),
		has: (name) => active() && line().some((part) => pointsOf(part).has(name)),
		ready() {
			if (!active()) return;
			const from = offset();
			Object.assign(view, { at: (step) => step + from, step: (x) => x - from });
			const names = view.tiles().map(view.curve);
			for (const part of line())
				pointsOf(part)
					.need(names)
					?.then(view.redraw, () => {});
			const foreign = line().filter(({ own }) => !own);
			if (!foreign.length) return;
			const { until, branch } = foreign.at(-1);
			view.chart.since = until;
			view.flags.push({ id: "fork", step: until - from, text: `fork of ${branch}` });
		},
		join([x, columns], from, names, smooth) {
			if (!active() || from >= 0) return [x, columns];
			const [steps, earlier] = before(from, names, smooth);
			const joined = new Map();
			for (const [name, lines] of columns)
				joined.set(
					name,
					earlier.get(name).map((values, i) => values.concat(lines[i])),
				);
			return [steps.concat(x), joined];
		},
	};
}

// Every `by` columns as one, with the least and the most of them.
function thin(x, columns, by) {
	const groups = Array.from({ length: Math.ceil(x.length / by) }, (_, i) => i * by);
	const known = (values) => values.filter((value) => value != null);
	const reduce = [(some) => Math.min(...some), (some) => Math.max(...some), (some) => some.at(-1)];
	const thinned = new Map();
	for (const [name, lines] of columns) {
		const less = lines.map((values, row) =>
			groups.map((at) => {
				const some = known(values.slice(at, at + by));
				return some.length ? reduce[row](some) : null;
			}),
		);
		thinned.set(name, less);
	}
	return [groups.map((at) => x[at + ((Math.min(by, x.length - at) - 1) >> 1)]), thinned];
}

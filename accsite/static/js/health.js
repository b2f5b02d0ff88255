// How each loss stands, told anew while points come: the same figures as acc/training/health.py, which wrote the
// words that the page came with. Fetched for a running job.

import { pace } from "./pace.js";

const [LEAST_STEPS, MOST_STEPS] = [100, 2000];
const MIN_VALUES = 8;
const LEAST_HELD = 200;
const BINS = 32;
const SIGNIFICANT_Z = 2.58;
const FLAT_PART = 0.02;
const ICONS = {
	"better than trivial": "✓",
	"at trivial": "≈",
	"worse than trivial": "✗",
	"above collapse": "↥",
	collapsed: "✗",
	"below its floor": "✗",
	falling: "↘",
	flat: "→",
	rising: "↗",
};

export const windowSteps = (steps) => Math.min(MOST_STEPS, Math.max(LEAST_STEPS, Math.floor(steps / 4)));

function median(values) {
	const sorted = Float64Array.from(values).sort();
	const half = sorted.length >> 1;
	return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

// Medians of equal parts, the first of them one longer where the division leaves a rest.
function medians(values) {
	const count = Math.min(BINS, values.length);
	const [size, rest] = [Math.floor(values.length / count), values.length % count];
	return Array.from({ length: count }, (_, i) => {
		const start = i * size + Math.min(i, rest);
		return median(values.slice(start, start + size + (i < rest)));
	});
}

// Kendall's test and the slope of Theil and Sen.
export function trend(values) {
	if (values.length < MIN_VALUES) return "";
	const parts = medians(values);
	const n = parts.length;
	const slopes = [];
	let score = 0;
	for (let later = 1; later < n; later++)
		for (let earlier = 0; earlier < later; earlier++) {
			const rise = parts[later] - parts[earlier];
			score += Math.sign(rise);
			slopes.push(rise / (later - earlier));
		}
	const ties = new Map();
	for (const part of parts) ties.set(part, (ties.get(part) ?? 0) + 1);
	let variance = n * (n - 1) * (2 * n + 5);
	for (const t of ties.values()) variance -= t * (t - 1) * (2 * t + 5);
	const z = variance > 0 && score ? (score - Math.sign(score)) / Math.sqrt(variance / 18) : 0;
	const change = median(slopes) * (n - 1);
	if (Math.abs(z) < SIGNIFICANT_Z || Math.abs(change) < FLAT_PART * Math.abs(median(parts)) || !change) return "flat";
	return change > 0 ? "rising" : "falling";
}

export function level(values, base, near, floor) {
	if (values.length < MIN_VALUES || base == null) return "";
	const value = median(values.slice(values.length >> 1));
	if (Math.abs(value - Number(base)) <= Number(near)) return floor ? "collapsed" : "at trivial";
	if (floor) return value > Number(base) ? "above collapse" : "below its floor";
	return value < Number(base) ? "better than trivial" : "worse than trivial";
}

function show(element, text) {
	if (element.textContent !== text) element.textContent = text;
}

function write(element, word) {
	show(element, word && `${ICONS[word]} ${word}`);
	if (element.className === "health") element.dataset.level = word;
}

export function attach({ tiles, points, redraw }) {
	const due = pace(redraw);
	return {
		draw() {
			if (!due()) return;
			const held = points();
			if (Number(document.getElementById("tiles").dataset.of) !== held.job) return;
			for (const tile of tiles()) {
				const { series, base, near } = tile.dataset;
				const recent = windowSteps(held.end);
				const values = held.newest(series, recent).filter(Number.isFinite);
				const [step] = held.newestOf(series) ?? [held.end];
				const [health, direction] = [".health", ".trend"].map((part) => tile.querySelector(part));
				// Of a long history too few may be held to know better than the server, which has read them.
				if (!health || (held.base && held.end - held.start < Math.min(recent, LEAST_HELD))) continue;
				write(health, level(values, base, near, "floor" in tile.dataset));
				if (step < held.end - recent) show(direction, `last at step ${step.toLocaleString("en")}`);
				else write(direction, trend(values));
			}
		},
	};
}

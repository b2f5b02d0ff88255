// The figures of the workers, as their heartbeats tell them: texts, meters and lines are set, nothing is fetched.

const KEPT = 60; // values of a line, one for every 15 seconds
const EACH_MS = 15_000;
const begun = new WeakMap();

// The same as the server draws; a gap where nobody looked.
function path(values, low, high) {
	const parts = [];
	let joined = false;
	values.forEach((value, index) => {
		if (value === null) {
			joined = false;
			return;
		}
		const x = KEPT - values.length + index + 0.5;
		const y = (98 - 96 * Math.min(1, Math.max(0, (value - low) / (high - low)))).toFixed(1);
		parts.push(joined ? `L${x} ${y}` : `M${x} ${y} h0.01 M${x} ${y}`);
		joined = true;
	});
	return parts.join(" ");
}

// The newest value stands for the 15 seconds that are not over yet.
function goOn(spark, value) {
	const values = spark.dataset.values.split(" ").map((each) => (each === "-" ? null : Number(each)));
	const now = performance.now();
	if (!begun.has(spark)) begun.set(spark, now);
	if (now - begun.get(spark) >= EACH_MS) {
		begun.set(spark, now);
		values.push(value);
	} else values[values.length - 1] = value;
	const kept = values.slice(-KEPT);
	spark.dataset.values = kept.map((each) => each ?? "-").join(" ");
	spark.firstElementChild.setAttribute("d", path(kept, Number(spark.dataset.low), Number(spark.dataset.high)));
}

document.addEventListener("acc:pulse", ({ detail: { topic, data } }) => {
	if (topic !== "workers") return;
	for (const row of document.querySelectorAll("[data-worker]")) {
		const worker = data[row.dataset.worker];
		if (!worker) continue;
		const write = (element, text) => element.textContent === text || (element.textContent = text);
		write(row.querySelector("[data-seen]"), worker.seen < 2 ? "just now" : `${worker.seen} s ago`);
		for (const element of row.querySelectorAll("[data-figure]")) {
			const [text] = worker.figures[element.dataset.figure] ?? [];
			if (text) write(element, text);
		}
		for (const element of row.querySelectorAll("[data-meter]")) {
			const [, percent] = worker.figures[element.dataset.meter] ?? [];
			if (percent !== undefined) element.value = percent;
		}
		for (const spark of row.querySelectorAll("[data-spark]")) {
			const [text, percent] = worker.figures[spark.dataset.spark] ?? [];
			if (text) goOn(spark, percent ?? Number.parseFloat(text));
		}
	}
});

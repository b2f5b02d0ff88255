// The figures of the workers, as their heartbeats tell them: texts and meters are set, nothing is fetched.

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
	}
});

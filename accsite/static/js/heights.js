// The heights of charts that a reader has set, kept by this browser. No module: it runs before the page is painted,
// so that a chart stands at its height from the first and nothing below it moves.
{
	const PLACE = "acc:heights";
	const [LEAST, MOST, STEP] = [120, 1600, 20]; // px
	const STEPS = { ArrowDown: STEP, ArrowUp: -STEP, PageDown: 5 * STEP, PageUp: -5 * STEP };
	const root = document.documentElement.style;
	const handleOf = ({ target }) => target.closest?.("[data-height]");
	const plotOf = (handle) => handle.previousElementSibling;
	const within = (height) => Math.round(Math.min(MOST, Math.max(LEAST, height)));

	function kept() {
		try {
			return JSON.parse(localStorage.getItem(PLACE)) ?? {};
		} catch {
			return {}; // a browser that keeps nothing, or something that is none of ours
		}
	}
	// All charts of a name are as high; null gives them back the page's own height.
	function set(name, height) {
		if (height === null) root.removeProperty(`--height-${name}`);
		else root.setProperty(`--height-${name}`, `${height}px`);
		for (const handle of document.querySelectorAll(`[data-height="${name}"]`)) tell(handle);
	}
	function keep(name, height) {
		set(name, height);
		const { [name]: _, ...others } = kept();
		try {
			localStorage.setItem(PLACE, JSON.stringify(height === null ? others : { ...others, [name]: height }));
		} catch {
			// It lasts as long as the page.
		}
	}
	function tell(handle) {
		handle.ariaValueNow = String(plotOf(handle).offsetHeight);
		handle.ariaValueText = `${plotOf(handle).offsetHeight} pixels`;
	}

	for (const [name, height] of Object.entries(kept()))
		if (/^[a-z]+$/.test(name) && Number.isFinite(height)) set(name, within(height));

	document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("[data-height]").forEach(tell));
	document.addEventListener("focusin", (event) => handleOf(event) && tell(handleOf(event)));
	document.addEventListener("dblclick", (event) => {
		const handle = handleOf(event);
		if (handle) keep(handle.dataset.height, null);
	});
	document.addEventListener("keydown", (event) => {
		const handle = handleOf(event);
		const { key, altKey, ctrlKey, metaKey } = event;
		if (!handle || altKey || ctrlKey || metaKey || !(key === "Enter" || key in STEPS)) return;
		event.preventDefault();
		keep(handle.dataset.height, key === "Enter" ? null : within(plotOf(handle).offsetHeight + STEPS[key]));
	});
	document.addEventListener("pointerdown", (event) => {
		const handle = handleOf(event);
		if (!handle || event.button) return;
		const { height: name } = handle.dataset;
		const begun = plotOf(handle).offsetHeight - event.pageY;
		let height;
		const follow = ({ pageY }) => set(name, (height = within(begun + pageY)));
		const end = () => {
			handle.removeEventListener("pointermove", follow);
			if (height !== undefined) keep(name, height);
		};
		handle.setPointerCapture(event.pointerId);
		handle.addEventListener("pointermove", follow);
		handle.addEventListener("lostpointercapture", end, { once: true });
	});
}

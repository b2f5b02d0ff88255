// What the chart's controls do. Fetched with the first use of one; the event that called for it is not lost.

import { style } from "./styles.js";

export function setState(view, changes, push = true) {
	const { state, DEFAULTS } = view;
	const before = JSON.stringify(state);
	Object.assign(state, changes);
	const query = new URLSearchParams(location.search);
	for (const name in DEFAULTS) {
		if (state[name] === DEFAULTS[name]) query.delete(name);
		else query.set(name, state[name]);
	}
	const address = `${location.pathname}${query.size ? `?${query}` : ""}`;
	if (JSON.stringify(state) !== before) history[push ? "pushState" : "replaceState"](history.state, "", address);
	view.showControls();
	view.redraw();
}

const without = (text, name) => text.split(",").filter((other) => other && other !== name);

function choose(view, { series }, alone) {
	const all = view.tiles().map((tile) => tile.dataset.series);
	const { hide } = view.state;
	const others = without(hide, series);
	const visible = !hide.split(",").includes(series);
	let hidden = others;
	if (alone) {
		// The curve that is alone already brings all others back.
		const isAlone = visible && others.length === all.length - 1;
		hidden = isAlone ? [] : all.filter((name) => name !== series);
	} else if (visible) hidden = [...others, series];
	setState(view, { hide: hidden.join(",") });
}

function fullScreen(panel) {
	if (document.fullscreenElement) document.exitFullscreen();
	else panel.requestFullscreen?.();
}

export function handle(view, { type, target, altKey, value, checked }) {
	const { dataset, name } = target;
	if (type === "input" && name in view.DEFAULTS) setState(view, { [name]: value }, name !== "smooth");
	if (type === "toggle") setState(view, { curves: target.open ? "1" : "" });
	if (type === "change" && dataset.overlay) {
		const laid = without(view.state.overlay, dataset.overlay);
		if (checked) laid.push(dataset.overlay);
		setState(view, { overlay: laid.join(",") });
	}
	if (type !== "click") return;
	style(view);
	if (dataset.flip)
		setState(view, { [dataset.flip]: view.state[dataset.flip] === dataset.on ? dataset.off : dataset.on });
	if ("reset" in dataset) view.zoom(null, null);
	if ("png" in dataset) import("./picture.js").then(({ save }) => save(view));
	if (dataset.pick) setState(view, { [dataset.pick]: dataset.value });
	if ("full" in dataset) fullScreen(view.panel);
	const button = target.closest("#legend button");
	if (button) choose(view, button.dataset, altKey);
	const tile = target.closest("#tiles [data-large]")?.closest("[data-series]");
	if (tile) choose(view, tile.dataset, true);
}

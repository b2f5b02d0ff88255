// What the chart's controls do. Fetched with the first use of one; the event that called for it is not lost.

import { style } from "./styles.js";

export function setState(view, changes, push = true) {
	const { state, DEFAULTS } = view;
	const before = JSON.stringify(state);
	Object.assign(state, changes);
	const query = new URLSearchParams(location.search);
	for (const name in DEFAULTS) state[name] === DEFAULTS[name] ? query.delete(name) : query.set(name, state[name]);
	const address = `${location.pathname}${query.size ? `?${query}` : ""}`;
	if (JSON.stringify(state) !== before) history[push ? "pushState" : "replaceState"](history.state, "", address);
	view.showControls();
	view.redraw();
}

const without = (text, name) => text.split(",").filter((other) => other && other !== name);

function legend(view, { series }, alone) {
	const all = view.legend().map((button) => button.dataset.series);
	const { hide } = view.state;
	let hidden = without(hide, series);
	if (alone) hidden = hidden.length === all.length - 1 && !hide.split(",").includes(series) ? [] : all.filter((name) => name !== series);
	else if (!hide.split(",").includes(series)) hidden.push(series);
	setState(view, { hide: hidden.join(",") });
}

export function handle(view, { type, target, altKey, value, checked }) {
	const { dataset, name } = target;
	if (type === "input" && name in view.DEFAULTS) setState(view, { [name]: value }, name !== "smooth");
	if (type === "toggle") setState(view, { curves: target.open ? "1" : "" });
	if (type === "change" && dataset.overlay) setState(view, { overlay: [...without(view.state.overlay, dataset.overlay), ...(checked ? [dataset.overlay] : [])].join(",") });
	if (type !== "click") return;
	style(view);
	if (dataset.flip) setState(view, { [dataset.flip]: view.state[dataset.flip] === dataset.on ? dataset.off : dataset.on });
	if ("reset" in dataset) view.zoom(null, null);
	if ("png" in dataset) import("./picture.js").then(({ save }) => save(view));
	const button = target.closest("#legend button");
	if (button) legend(view, button.dataset, altKey);
}

// The table of runs: choices that show themselves, ticks of a whole page, and the curves of the rows whose eye is open.

import { look } from "./means.js";

const $ = (selector) => document.querySelector(selector);
const $$ = (selector) => [...document.querySelectorAll(selector)];

document.addEventListener("change", ({ target }) => {
	if (target.matches("[data-submit]")) target.form.requestSubmit();
	if (target.matches("[data-tick-all]"))
		for (const box of $$("#runs [name=run]")) box.checked = target.checked;
	if (target.id === "curve") choose(target.value);
});

// The address holds what is looked at, so that it can be given to others.
function choose(curve) {
	const url = new URL(location.href);
	url.searchParams.set("curve", curve);
	location.assign(url);
}

document.addEventListener("htmx:after:swap", () => {
	const address = $("#runs")?.dataset.address;
	if (address && address !== location.pathname + location.search) history.replaceState(history.state, "", address);
	look(true);
});
look();

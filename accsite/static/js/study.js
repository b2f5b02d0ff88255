// The page of a study: its curves are asked for when they come into view, and anew when a seed has ended.

import { choose, look } from "./means.js";

let seen = false;
const eye = new IntersectionObserver((entries) => {
	if (seen || !entries.some(({ isIntersecting }) => isIntersecting)) return;
	seen = true;
	eye.disconnect();
	look();
});
function watch() {
	const panel = document.querySelector("[data-means]");
	if (panel && !seen) eye.observe(panel);
}

document.addEventListener("change", ({ target }) => target.id === "curve" && choose(target.value));
document.addEventListener("htmx:after:swap", ({ target }) => {
	if (target?.id === "study-traversals") return;
	if (seen) look(true);
	else watch();
});
watch();

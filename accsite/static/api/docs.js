// Swagger UI in this site's theme, and without what keeps people with other devices out: see api.css.

const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");
function paint() {
	const theme = root.dataset.theme;
	root.classList.toggle("dark-mode", theme === "dark" || (theme === "system" && system.matches));
}
paint();
document.addEventListener("acc:theme", paint);
system.addEventListener("change", paint);

// Swagger UI would make a second main part inside the page's own.
const make = Document.prototype.createElement;
document.createElement = (name, ...rest) => make.call(document, name === "main" ? "div" : name, ...rest);

// A link inside a button cannot be reached by everyone, and the button does the same; and each heading is
// at most one level below the one that it stands under.
const shown = document.getElementById("api");
function mend() {
	for (const link of shown.querySelectorAll(".opblock-summary-control a[href]")) link.removeAttribute("href");
	for (const inner of shown.querySelectorAll(".opblock-summary-control [tabindex]")) inner.removeAttribute("tabindex");
	let level = 1;
	for (const heading of shown.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
		if (heading.closest("[hidden]") || !heading.getClientRects().length) continue;
		const own = Number(heading.tagName[1]);
		const right = Math.min(Math.max(own, 2), level + 1);
		if (right !== own) heading.setAttribute("aria-level", right);
		else heading.removeAttribute("aria-level");
		level = right;
	}
	for (const place of shown.querySelectorAll("pre, .table-container, .model-box, .responses-inner"))
		if (place.scrollWidth > place.clientWidth && !place.hasAttribute("tabindex")) place.tabIndex = 0;
}
let due = 0;
new MutationObserver(() => {
	clearTimeout(due);
	due = setTimeout(mend, 50);
}).observe(shown, { childList: true, subtree: true });

// They are large: the page stands, in its own letters, before they begin.
const { then } = document.currentScript.dataset;
addEventListener("load", async () => {
	await document.fonts.ready;
	for (const src of then.split(" "))
		document.body.append(Object.assign(make.call(document, "script"), { src, async: false }));
});

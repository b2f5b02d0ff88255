// The admin's theme is the product's: one cookie for both. Loaded before the theme's own scripts, which read what
// is put into the store here; and so that the first frame has its colours.

const asked = () => /(?:^|\s)theme=(light|dark|system)/.exec(document.cookie)?.[1] ?? "system";
const dark = matchMedia("(prefers-color-scheme: dark)");
function paint() {
	const theme = asked();
	const root = document.documentElement;
	root.dataset.theme = theme;
	root.classList.toggle("dark", theme === "dark" || (theme === "system" && dark.matches));
	localStorage.setItem("adminTheme", JSON.stringify(theme === "system" ? "auto" : theme));
	for (const button of document.querySelectorAll("[data-set-theme]"))
		button.setAttribute("aria-pressed", button.dataset.setTheme === theme);
}
paint();
dark.addEventListener("change", paint);
document.addEventListener("alpine:initialized", paint);

document.addEventListener("click", ({ target }) => {
	const theme = target.closest("[data-set-theme]")?.dataset.setTheme;
	if (theme) {
		// biome-ignore lint/suspicious/noDocumentCookie: as on every page
		document.cookie = `theme=${theme};path=/;max-age=31536000;samesite=lax`;
		paint();
	}
	for (const menu of document.querySelectorAll(":is(.menu, .rail details)[open]"))
		if (!menu.contains(target)) menu.open = false;
});
document.addEventListener("keydown", ({ key, target }) => {
	const menu = key === "Escape" && target.closest?.(":is(.menu, .rail details)[open]");
	if (!menu) return;
	menu.open = false;
	menu.querySelector("summary").focus();
});

// What the scripts of others make is named: pictures that have a label, and places that scroll, each by its heading.
function name() {
	for (const picture of document.querySelectorAll("span.help-tooltip[aria-label]")) picture.setAttribute("role", "img");
	const seen = new Map();
	for (const place of document.querySelectorAll(".simplebar-content-wrapper[role=region]")) {
		const heading = place.closest("fieldset, section, .module, .inline-group")?.querySelector("h2, legend, caption");
		const words = heading?.textContent.trim().replace(/\s+/g, " ") || "Scrolls";
		const count = (seen.get(words) ?? 0) + 1;
		seen.set(words, count);
		place.setAttribute("aria-label", count > 1 ? `${words}, ${count}` : words);
	}
}
addEventListener("load", () => setTimeout(name));
document.addEventListener("pointerover", ({ target }) => {
	const long = target.closest("#result_list :is(td, th) > a:not([title])");
	if (long && long.scrollHeight > long.clientHeight) long.title = long.textContent.trim();
});

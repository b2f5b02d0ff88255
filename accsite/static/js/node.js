// One checkpoint's panel: what was done is said, and its form begins anew.

document.addEventListener("htmx:after:swap", () => {
	const done = document.querySelector("#node [data-done]");
	if (!done || done.dataset.done === "seen") return;
	done.dataset.done = "seen";
	for (const details of document.querySelectorAll("#node .acts details[open]")) {
		details.querySelector("form")?.reset();
		details.open = false;
	}
	done.scrollIntoView({ block: "nearest" });
});

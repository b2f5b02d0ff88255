// The form of an import: what no column uses is put away by styles; here is what takes a look at all of them.

const MANY = "[name^='use-']";

function stale() {
	const said = document.getElementById("preview-said");
	const preview = document.getElementById("preview");
	if (!said || preview.dataset.state === "busy" || preview.dataset.stale === "") return;
	preview.dataset.stale = "";
	said.textContent = "changed since this preview";
}

document.addEventListener("input", ({ target }) => {
	if (target.form?.id === "mapping" && target.name !== "name") stale();
});

document.addEventListener("click", ({ target }) => {
	const use = target.closest?.("[data-use-all]")?.dataset.useAll;
	if (use === undefined) return;
	for (const select of document.querySelectorAll(`#mapping ${MANY}`))
		if (["", "target"].includes(select.value)) select.value = use;
	stale();
});

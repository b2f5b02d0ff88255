// A word that explains itself: its sentence beside it on hover, focus and touch. Without this it is a link.

const HOVER_MS = 250;
const GAP_PX = 6;
const EDGE_PX = 8;
let shown = null;
let timer = null;

const box = () => (box.element ??= make());
function make() {
	const element = document.createElement("div");
	element.id = "word";
	element.popover = "manual";
	element.setAttribute("role", "tooltip");
	element.append(document.createElement("strong"), document.createElement("p"));
	element.onpointerleave = leave;
	element.onpointerenter = () => clearTimeout(timer);
	document.body.append(element);
	return element;
}

// The text stands in the title until there is something better to show it by.
const textOf = (term) => (term.dataset.text ??= term.title);

function show(term) {
	clearTimeout(timer);
	if (shown === term || !term.isConnected) return;
	const element = box();
	element.firstChild.textContent = term.dataset.term;
	element.lastChild.textContent = textOf(term);
	term.removeAttribute("title");
	term.setAttribute("aria-describedby", element.id);
	if (!element.matches(":popover-open")) element.showPopover();
	const at = term.getBoundingClientRect();
	const { width, height } = element.getBoundingClientRect();
	const left = Math.max(EDGE_PX, Math.min(at.left, innerWidth - width - EDGE_PX));
	const below = at.bottom + GAP_PX;
	const top = below + height > innerHeight - EDGE_PX ? Math.max(EDGE_PX, at.top - height - GAP_PX) : below;
	element.style.left = `${left}px`;
	element.style.top = `${top}px`;
	shown = term;
}

function hide() {
	clearTimeout(timer);
	if (!shown) return;
	shown.removeAttribute("aria-describedby");
	shown.title = textOf(shown);
	shown = null;
	if (box().matches(":popover-open")) box().hidePopover();
}

function leave() {
	clearTimeout(timer);
	timer = setTimeout(hide, HOVER_MS);
}

const termOf = (target) => target.closest?.("a.term");

export function explainWords() {
	document.addEventListener("pointerover", ({ target, pointerType }) => {
		const term = pointerType === "mouse" && termOf(target);
		if (!term) return;
		clearTimeout(timer);
		timer = setTimeout(show, shown ? 0 : HOVER_MS, term);
	});
	document.addEventListener("pointerout", ({ target, pointerType }) => {
		if (pointerType === "mouse" && termOf(target)) leave();
	});
	document.addEventListener("focusin", ({ target }) => {
		const term = termOf(target);
		if (term?.matches(":focus-visible")) show(term);
		else if (!box.element?.contains(target)) hide();
	});
	// A first touch explains; the second, as a click with a mouse, goes to the page of words.
	document.addEventListener("click", (event) => {
		const term = termOf(event.target);
		if (!term) return hide();
		if (event.pointerType === "touch" && shown !== term) {
			event.preventDefault();
			show(term);
		}
	});
	document.addEventListener(
		"keydown",
		(event) => {
			if (event.key !== "Escape" || !shown) return;
			event.stopPropagation(); // it closes the explanation, and nothing around it
			hide();
		},
		true,
	);
	const moved = () => shown && hide();
	for (const event of ["scroll", "resize"]) addEventListener(event, moved, { capture: true, passive: true });
}

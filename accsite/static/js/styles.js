// The styles of what a chart shows only when asked to; fetched with the first of it.

let link = null;
export function style({ panel }) {
	link ??= document.head.appendChild(
		Object.assign(document.createElement("link"), { rel: "stylesheet", href: panel.dataset.css }),
	);
}

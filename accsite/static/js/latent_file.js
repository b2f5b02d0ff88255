// Puts decoders, sliders and all that moves them into one page, which opens anywhere without a network.

async function packed(buffer) {
	const stream = new Blob([buffer]).stream().pipeThrough(new CompressionStream("gzip"));
	const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
	let text = "";
	for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
	return btoa(text);
}

const read = async (address) => (await fetch(address)).text();
const readAll = (addresses) => Promise.all(addresses.trim().split(/\s+/).map(read));
// What is one script needs no imports; each name is there once.
const alone = (script) =>
	script
		.replaceAll(/import\s*\{[^}]*\}\s*from\s*["'][^"']+["'];?/g, "")
		.replaceAll(/export\s+(?=(async\s+)?(function|class|const)\b)/g, "");
// Fonts are files of their own, so what is one file has none.
const fontless = (style) => style.replaceAll(/@font-face\s*\{[^}]*\}/g, "");
const POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'";
const escaped = (text) => text.replaceAll(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`);

/** Return the latent as it stands as the text of one page. */
export async function page(hand, server, decoderOf) {
	const root = hand.root;
	await hand.ready();
	const checkpoints = [];
	for (const pk of hand.page.heads()) {
		const decoder = await packed(await server.file(pk, decoderOf(pk)));
		checkpoints.push({ pk, reach: hand.reaches.get(pk), start: [...hand.starts.get(pk)], decoder });
	}
	const scripts = await readAll(root.dataset.parts);
	const styles = await readAll(root.dataset.styles);
	const shown = root.cloneNode(true);
	for (const gone of shown.querySelectorAll(
		".latent-foot .row, [data-dataset], [data-row], [for=latent-dataset], [for=latent-row], svg, .js-off",
	))
		gone.remove();
	for (const each of shown.querySelectorAll(".latent-heads a")) {
		const chip = Object.assign(document.createElement("span"), { className: "chip", textContent: each.textContent });
		each.replaceWith(chip);
	}
	for (const name of ["data-socket", "data-worker", "data-parts", "data-styles"]) shown.removeAttribute(name);
	for (const name of ["hx-get", "hx-trigger", "hx-sync:inherited", "data-topics"])
		shown.querySelector(".latent-heads")?.removeAttribute(name);
	for (const canvas of shown.querySelectorAll("canvas")) canvas.hidden = true;
	const { name } = root.dataset;
	const told = { checkpoints, state: hand.state(), caption: "decoded in this page" };
	return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<title>The latent of ${escaped(name)}</title>
<style>${styles.map(fontless).join("\n")}</style>
</head>
<body class="latent-alone">
<h1>${escaped(name)}</h1>
${shown.outerHTML}
<script type="application/json" id="sent">${JSON.stringify(told).replaceAll("<", "\\u003c")}</script>
<script type="module">${scripts.map(alone).join("\n").replaceAll("</script", "<\\/script")}</script>
</body>
</html>
`;
}

/** Save a page as a file. */
export function save(text, name) {
	const link = Object.assign(document.createElement("a"), {
		href: URL.createObjectURL(new Blob([text], { type: "text/html" })),
		download: `latent-${name.replaceAll(/[^\w-]+/g, "-").toLowerCase()}.html`,
	});
	link.click();
	setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

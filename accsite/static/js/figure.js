// A part of the page as a PNG, drawn as it stands: backgrounds, texts, images, and the shapes of its pictures.

const RATIO = 2;
const PAD = 12;
const image = (url) =>
	new Promise((done, failed) => {
		const loaded = new Image();
		loaded.onload = () => done(loaded);
		loaded.onerror = failed;
		loaded.src = url;
	});

export async function save(figure, name) {
	const box = figure.getBoundingClientRect();
	const width = Math.max(box.width, figure.scrollWidth) + 2 * PAD;
	const canvas = Object.assign(document.createElement("canvas"), {
		width: width * RATIO,
		height: (box.height + 2 * PAD) * RATIO,
	});
	const ctx = canvas.getContext("2d");
	ctx.scale(RATIO, RATIO);
	ctx.fillStyle = getComputedStyle(document.querySelector(".panel")).backgroundColor;
	ctx.fillRect(0, 0, width, box.height + 2 * PAD);
	ctx.translate(PAD - box.left, PAD - box.top);
	ctx.imageSmoothingEnabled = false;
	for (const node of walk(figure)) await draw(ctx, node);
	const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
	const link = Object.assign(document.createElement("a"), {
		href: URL.createObjectURL(blob),
		download: `${name.replaceAll(/[^\w-]+/g, "-").toLowerCase()}.png`,
	});
	link.click();
	setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function* walk(root) {
	const left = "title, form, button, details:not([open]) > :not(summary), .vh";
	const tree = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT, (node) => {
		const unseen = node instanceof Element && (node.matches(left) || !node.getClientRects().length);
		return unseen ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT;
	});
	while (tree.nextNode()) yield tree.currentNode;
}

async function draw(ctx, node) {
	if (node instanceof Text) return text(ctx, node);
	const style = getComputedStyle(node);
	const box = node.getBoundingClientRect();
	if (node instanceof HTMLImageElement) return ctx.drawImage(node, box.left, box.top, box.width, box.height);
	if (node instanceof SVGImageElement) return picture(ctx, node, style);
	if (node instanceof SVGGeometryElement) return shape(ctx, node, style);
	if (style.backgroundColor !== "rgba(0, 0, 0, 0)") {
		ctx.fillStyle = style.backgroundColor;
		ctx.fillRect(box.left, box.top, box.width, box.height);
	}
}

function text(ctx, node) {
	const style = getComputedStyle(node.parentElement);
	const svg = node.parentElement instanceof SVGElement;
	const scale = svg ? node.parentElement.getScreenCTM().a : 1;
	ctx.font = `${style.fontWeight} ${parseFloat(style.fontSize) * scale}px ${style.fontFamily}`;
	ctx.fillStyle = svg ? style.fill : style.color;
	ctx.textBaseline = "middle";
	for (const { words, left, right, middle } of lines(node)) ctx.fillText(words, left, middle, right - left + 1);
}

// A text as it is broken into lines where it stands.
function lines(node) {
	const found = [];
	const range = document.createRange();
	for (const { 0: word, index } of node.data.matchAll(/\S+/g)) {
		range.setStart(node, index);
		range.setEnd(node, index + word.length);
		const box = range.getClientRects()[0];
		if (!box) continue;
		const middle = box.top + box.height / 2;
		const last = found.at(-1);
		if (last && Math.abs(last.middle - middle) < 2) {
			last.words += ` ${word}`;
			last.right = box.right;
		} else found.push({ words: word, left: box.left, right: box.right, middle });
	}
	return found;
}

// An image within a picture is cut where the picture ends.
async function picture(ctx, node, style) {
	const loaded = await image(node.href.baseVal);
	const [box, frame] = [node.getBoundingClientRect(), node.ownerSVGElement.getBoundingClientRect()];
	ctx.save();
	ctx.beginPath();
	ctx.rect(frame.left, frame.top, frame.width, frame.height);
	ctx.clip();
	ctx.globalAlpha = Number(style.opacity);
	ctx.drawImage(loaded, box.left, box.top, box.width, box.height);
	ctx.restore();
}

function shape(ctx, node, style) {
	const matrix = node.getScreenCTM();
	const own = node instanceof SVGCircleElement ? circle(node) : new Path2D(node.getAttribute("d") ?? "");
	const path = new Path2D();
	path.addPath(own, matrix);
	ctx.save();
	if (style.fill !== "none") {
		ctx.fillStyle = style.fill;
		ctx.fill(path);
	}
	if (style.stroke !== "none") {
		const scale = style.vectorEffect === "non-scaling-stroke" ? 1 : Math.sqrt(Math.abs(matrix.a * matrix.d));
		ctx.strokeStyle = style.stroke;
		ctx.lineWidth = parseFloat(style.strokeWidth) * scale;
		ctx.lineCap = style.strokeLinecap;
		ctx.setLineDash(style.strokeDasharray === "none" ? [] : style.strokeDasharray.split(",").map(parseFloat));
		ctx.stroke(path);
	}
	ctx.restore();
}
function circle({ cx, cy, r }) {
	const path = new Path2D();
	path.arc(cx.baseVal.value, cy.baseVal.value, r.baseVal.value, 0, 2 * Math.PI);
	return path;
}

// A latent that was sent as one file: everything is in the page, and nothing is asked of anybody.

import { Hand } from "./hand.js";
import { Decoders } from "./onnx.js";

async function unpacked(text) {
	const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
	return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

async function main() {
	const sent = JSON.parse(document.getElementById("sent").textContent);
	const decoders = new Decoders();
	for (const { pk, decoder } of sent.checkpoints) decoders.load(pk, await unpacked(decoder));
	const of = (pk) => sent.checkpoints.find((each) => each.pk === pk);
	const source = {
		open: async (pk) => of(pk).reach,
		start: async (pk) => ({ z: Float32Array.from(of(pk).start) }),
		decode: async (pk, latents, shape, mix) => decoders.decode(pk, latents, shape, mix),
	};
	const root = document.getElementById("latent");
	const hand = new Hand(root, source, {
		heads: () => sent.checkpoints.map(({ pk }) => pk),
		caption: () => sent.caption,
	});
	hand.restore(sent.state);
	hand.showBegin();
	hand.choose(hand.axis ?? root.querySelector("input[type=range]"));
	hand.touched = performance.now();
	hand.draw();
}
main();

// Decodes beside the page: a large decoder must not keep a slider from moving.

import { Decoders } from "./onnx.js";

const decoders = new Decoders();

onmessage = ({ data: { id, pk, file, latents, shape, mix } }) => {
	try {
		if (file) decoders.load(pk, file);
		const found = file ? null : decoders.decode(pk, latents, shape, mix);
		postMessage({ id, found }, found ? [found.buffer] : []);
	} catch (error) {
		postMessage({ id, error: error.message });
	}
};

// Reads a decoder from an ONNX file and runs it: the few operations that decoders are made of, in plain numbers.
// Numbers are float32, as torch's; whole numbers and truth values lie in Float64Array. See docs/adr/0027.

import { operations } from "./onnx_ops.js";

const text = (bytes) => new TextDecoder().decode(bytes);

// -- the file: protocol buffers, of which only what decoders hold is read ---------------------------------------------

/** Yield number, wire type and value of each field: a number for types 0 and 5, bytes for type 2. */
function* fields(bytes) {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	let at = 0;
	const varint = () => {
		let value = 0n;
		for (let shift = 0n; ; shift += 7n) {
			const byte = bytes[at++];
			value |= BigInt(byte & 127) << shift;
			if (byte < 128) return Number(BigInt.asIntN(64, value));
		}
	};
	while (at < bytes.length) {
		const key = varint();
		const [number, type] = [key >> 3, key & 7];
		if (type === 0) yield [number, type, varint()];
		else if (type === 1) yield [number, type, view.getFloat64((at += 8) - 8, true)];
		else if (type === 5) yield [number, type, view.getFloat32((at += 4) - 4, true)];
		else {
			const length = varint();
			yield [number, type, bytes.subarray(at, (at += length))];
		}
	}
}

function packed(value, type, of) {
	if (type !== 2) return [value];
	if (of === "float") return [...new Float32Array(value.slice().buffer)];
	const found = [];
	for (let at = 0; at < value.length;) {
		let number = 0n;
		for (let shift = 0n; ; shift += 7n) {
			const byte = value[at++];
			number |= BigInt(byte & 127) << shift;
			if (byte < 128) break;
		}
		found.push(Number(BigInt.asIntN(64, number)));
	}
	return found;
}

function tensor(bytes) {
	const dims = [];
	let [type, name, raw] = [1, "", null];
	const given = [];
	for (const [number, wire, value] of fields(bytes)) {
		if (number === 1) dims.push(...packed(value, wire, "int"));
		else if (number === 2) type = value;
		else if (number === 4) given.push(...packed(value, wire, "float"));
		else if (number === 5 || number === 7) given.push(...packed(value, wire, "int"));
		else if (number === 8) name = text(value);
		else if (number === 9) raw = value.slice().buffer;
	}
	const data = {
		1: () => (raw ? new Float32Array(raw) : Float32Array.from(given)),
		6: () => Float64Array.from(raw ? new Int32Array(raw) : given),
		7: () => Float64Array.from(raw ? Array.from(new BigInt64Array(raw), Number) : given),
		9: () => Float64Array.from(raw ? new Uint8Array(raw) : given),
		11: () => Float32Array.from(raw ? new Float64Array(raw) : given),
	}[type];
	if (!data) throw new Error(`it holds numbers of ONNX type ${type}, which are not read here`);
	return { name, dims, data: data() };
}

function attribute(bytes) {
	let name = "";
	let value;
	const many = [];
	for (const [number, wire, found] of fields(bytes)) {
		if (number === 1) name = text(found);
		else if (number === 2 || number === 3) value = found;
		else if (number === 4) value = text(found);
		else if (number === 5) value = tensor(found);
		else if (number === 7) many.push(...packed(found, wire, "float"));
		else if (number === 8) many.push(...packed(found, wire, "int"));
	}
	return [name, value ?? many];
}

function node(bytes) {
	const found = { inputs: [], outputs: [], op: "", attributes: {} };
	for (const [number, , value] of fields(bytes)) {
		if (number === 1) found.inputs.push(text(value));
		else if (number === 2) found.outputs.push(text(value));
		else if (number === 4) found.op = text(value);
		else if (number === 5) {
			const [name, held] = attribute(value);
			found.attributes[name] = held;
		}
	}
	return found;
}

function graph(bytes) {
	const found = { nodes: [], weights: new Map() };
	for (const [number, , value] of fields(bytes)) {
		if (number === 1) found.nodes.push(node(value));
		else if (number === 5) {
			const weight = tensor(value);
			found.weights.set(weight.name, weight);
		}
	}
	return found;
}

// -- the run ----------------------------------------------------------------------------------------------------------

/** A decoder: `run` gives the image of a latent. Throws an Error that names what cannot be computed here. */
export class Decoder {
	/** @param {ArrayBuffer} buffer an ONNX file with an input `z` and an output `image` */
	constructor(buffer) {
		for (const [number, , value] of fields(new Uint8Array(buffer))) if (number === 7) Object.assign(this, graph(value));
		const unknown = [...new Set(this.nodes.map(({ op }) => op).filter((op) => !operations[op]))];
		if (unknown.length) throw new Error(`the decoder uses ${unknown.join(", ")}, which a page cannot compute`);
		this.prepare();
	}

	/** Compute once what does not depend on the latent. */
	prepare() {
		this.known = new Map(this.weights);
		this.steps = [];
		for (const each of this.nodes) {
			if (each.inputs.every((name) => !name || this.known.has(name))) this.step(each, this.known);
			else this.steps.push(each);
		}
		// Where a value is read last: it is let go there.
		this.last = new Map();
		this.steps.forEach((each, at) => each.inputs.forEach((name) => this.last.set(name, at)));
	}

	step({ op, inputs, outputs, attributes }, values) {
		const results = operations[op](
			inputs.map((name) => (name ? values.get(name) : undefined)),
			attributes,
			outputs.length,
		);
		(Array.isArray(results) ? results : [results]).forEach((result, at) => values.set(outputs[at], result));
	}

	/**
	 * @param {Float32Array} latent
	 * @param {number[]} shape (D) or (D, h, w)
	 * @returns {{dims: number[], data: Float32Array}} an image (1, C, H, W) in 0..1
	 */
	run(latent, shape) {
		const values = new Map(this.known);
		values.set("z", { dims: [1, ...shape], data: latent });
		this.steps.forEach((each, at) => {
			this.step(each, values);
			for (const name of each.inputs) if (this.last.get(name) === at && !this.known.has(name)) values.delete(name);
		});
		return values.get("image");
	}

	/** Return a decoder whose weights are this one's with a part of another's; both must be of one model. */
	mixed(other, part) {
		const found = Object.create(Decoder.prototype, {});
		found.nodes = this.nodes;
		found.weights = new Map();
		for (const [name, { dims, data }] of this.weights) {
			const theirs = other.weights.get(name);
			if (theirs?.data.length !== data.length) throw new Error("the two checkpoints are of different models");
			found.weights.set(name, {
				dims,
				data: data instanceof Float32Array ? data.map((value, at) => value + part * (theirs.data[at] - value)) : data,
			});
		}
		found.prepare();
		return found;
	}
}

/** Return images in 0..1 as pixels; what is not a finite number becomes black, as on the server. */
export function pixels({ data }) {
	const found = new Uint8Array(data.length);
	for (let at = 0; at < data.length; at++) {
		const value = data[at];
		found[at] = value === value ? Math.min(255, Math.max(0, Math.round(value * 255))) : 0;
	}
	return found;
}

/** The decoders of checkpoints, and of what lies between two of them. */
export class Decoders {
	constructor() {
		this.of = new Map();
		this.between = {};
	}

	/** Take in the ONNX file of a checkpoint. */
	load(pk, file) {
		this.of.set(pk, new Decoder(file));
	}

	/** Return the decoder of a checkpoint, or of a part of the way from it toward another. */
	find(pk, mix) {
		if (!mix) return this.of.get(pk);
		const name = `${pk} ${mix.toward} ${mix.part}`;
		if (this.between.name !== name)
			this.between = { name, made: this.of.get(pk).mixed(this.of.get(mix.toward), mix.part) };
		return this.between.made;
	}

	/** Return the pixels of latents (N, *shape), one after the other. */
	decode(pk, latents, shape, mix) {
		const each = shape.reduce((all, side) => all * side, 1);
		const decoder = this.find(pk, mix);
		const found = [];
		for (let at = 0; at < latents.length; at += each)
			found.push(pixels(decoder.run(latents.slice(at, at + each), shape)));
		const together = new Uint8Array(found.length * found[0].length);
		found.forEach((one, at) => together.set(one, at * one.length));
		return together;
	}
}

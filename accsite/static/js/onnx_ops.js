// The operations of ONNX that decoders are made of. A tensor is { dims, data }; each operation takes its inputs and
// attributes, and returns a tensor or an array of them.

const size = (dims) => dims.reduce((all, side) => all * side, 1);
const like = (data, length) => (data instanceof Float32Array ? new Float32Array(length) : new Float64Array(length));
const of = (dims, data) => ({ dims, data });
const whole = (numbers) => Float64Array.from(numbers);
const axisAt = (axis, rank) => (axis < 0 ? axis + rank : axis);
const range = (count) => Array.from({ length: count }, (_, at) => at);

function strides(dims) {
	const found = new Array(dims.length);
	let step = 1;
	for (let axis = dims.length - 1; axis >= 0; axis--) {
		found[axis] = step;
		step *= dims[axis];
	}
	return found;
}

/** Call `visit(to, from)` for each place of `dims`, `from` being where `steps` and `start` lead. */
function walk(dims, steps, start, visit) {
	const rank = dims.length;
	const total = size(dims);
	if (!rank) return total && visit(0, start);
	const at = new Array(rank).fill(0);
	const inner = dims[rank - 1];
	const step = steps[rank - 1];
	let from = start;
	for (let to = 0; to < total; to += inner) {
		for (let place = 0; place < inner; place++) visit(to + place, from + place * step);
		for (let axis = rank - 2; axis >= 0; axis--) {
			from += steps[axis];
			if (++at[axis] < dims[axis]) break;
			from -= steps[axis] * dims[axis];
			at[axis] = 0;
		}
	}
}

function strided({ data }, dims, steps, start = 0) {
	const found = like(data, size(dims));
	walk(dims, steps, start, (to, from) => (found[to] = data[from]));
	return of(dims, found);
}

function together(a, b) {
	const rank = Math.max(a.length, b.length);
	return range(rank).map((axis) => {
		const [x, y] = [a[axis - rank + a.length] ?? 1, b[axis - rank + b.length] ?? 1];
		if (x !== y && x !== 1 && y !== 1) throw new Error(`shapes ${a} and ${b} do not go together`);
		return x === 1 ? y : x;
	});
}

/** Strides by which a tensor of `from` is read as one of the wider `dims`. */
function wide(from, dims) {
	const own = strides(from);
	return dims.map((_, axis) => {
		const mine = axis - dims.length + from.length;
		return mine >= 0 && from[mine] !== 1 ? own[mine] : 0;
	});
}

const each =
	(change) =>
	([x]) => {
		const found = like(x.data, x.data.length);
		for (let at = 0; at < found.length; at++) found[at] = change(x.data[at]);
		return of(x.dims, found);
	};

function pairs(a, b, combine) {
	const floats = a.data instanceof Float32Array || b.data instanceof Float32Array;
	const make = (length) => (floats ? new Float32Array(length) : new Float64Array(length));
	const [x, y] = [a.data, b.data];
	if (y.length === 1 && a.dims.length >= b.dims.length) {
		const found = make(x.length);
		for (let at = 0; at < x.length; at++) found[at] = combine(x[at], y[0]);
		return of(a.dims, found);
	}
	if (x.length === y.length && a.dims.join() === b.dims.join()) {
		const found = make(x.length);
		for (let at = 0; at < x.length; at++) found[at] = combine(x[at], y[at]);
		return of(a.dims, found);
	}
	const dims = together(a.dims, b.dims);
	const found = make(size(dims));
	const left = strided(a, dims, wide(a.dims, dims)).data;
	walk(dims, wide(b.dims, dims), 0, (to, from) => (found[to] = combine(left[to], y[from])));
	return of(dims, found);
}
const both = (combine) => (inputs) => inputs.slice(1).reduce((a, b) => pairs(a, b, combine), inputs[0]);
const truth =
	(combine) =>
	([a, b]) => {
		const { dims, data } = pairs(a, b, (x, y) => (combine(x, y) ? 1 : 0));
		return of(dims, Float64Array.from(data));
	};
const integers = (a, b) => !(a.data instanceof Float32Array) && !(b.data instanceof Float32Array);

// Abramowitz and Stegun 7.1.26 is good to 1.5e-7, which float32 cannot tell from the truth.
function erf(x) {
	const t = 1 / (1 + 0.3275911 * Math.abs(x));
	const tail = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
	return Math.sign(x) * (1 - tail * Math.exp(-x * x));
}
const sigmoid = (x) => 1 / (1 + Math.exp(-x));

// -- sums -------------------------------------------------------------------------------------------------------------

/** Add the product of a (m, k) and b (k, n), each from where it begins, to out (m, n). */
function product(a, fromA, b, fromB, out, fromOut, m, k, n) {
	for (let row = 0; row < m; row++) {
		const to = fromOut + row * n;
		let [left, from, inner] = [fromA + row * k, fromB, 0];
		// Four at a time, so that each sum is read and written a quarter as often.
		for (; inner + 4 <= k; inner += 4, left += 4, from += 4 * n) {
			const [w, x, y, z] = [a[left], a[left + 1], a[left + 2], a[left + 3]];
			const [second, third, fourth] = [from + n, from + 2 * n, from + 3 * n];
			for (let at = 0; at < n; at++)
				out[to + at] += w * b[from + at] + x * b[second + at] + y * b[third + at] + z * b[fourth + at];
		}
		for (; inner < k; inner++, left++, from += n) {
			const factor = a[left];
			for (let at = 0; at < n; at++) out[to + at] += factor * b[from + at];
		}
	}
}

function matmul([a, b]) {
	if (a.dims.length === 1) {
		const { dims, data } = matmul([of([1, ...a.dims], a.data), b]);
		return of([...dims.slice(0, -2), dims.at(-1)], data);
	}
	if (b.dims.length === 1) {
		const { dims, data } = matmul([a, of([...b.dims, 1], b.data)]);
		return of(dims.slice(0, -1), data);
	}
	const [m, k] = a.dims.slice(-2);
	const n = b.dims.at(-1);
	const outer = together(a.dims.slice(0, -2), b.dims.slice(0, -2));
	const found = new Float32Array(size(outer) * m * n);
	const starts = ({ dims }, part) =>
		strided(of([], whole(range(size(dims.slice(0, -2))))), outer, wide(dims.slice(0, -2), outer)).data.map(
			(at) => at * part,
		);
	const [fromA, fromB] = [starts(a, m * k), starts(b, k * n)];
	fromA.forEach((from, at) => product(a.data, from, b.data, fromB[at], found, at * m * n, m, k, n));
	return of([...outer, m, n], found);
}

const turned = (x) => strided(x, [x.dims[1], x.dims[0]], [1, x.dims[1]]);

function gemm([a, b, c], { transA, transB, alpha = 1, beta = 1 }) {
	let found = matmul([transA ? turned(a) : a, transB ? turned(b) : b]);
	if (alpha !== 1) found = pairs(found, of([], Float32Array.of(alpha)), (x, y) => x * y);
	if (!c) return found;
	const added = beta === 1 ? c : pairs(c, of([], Float32Array.of(beta)), (x, y) => x * y);
	return pairs(found, added, (x, y) => x + y);
}

/** Give a picture of one row the height 1, so that what has one side is computed as what has two. */
function flat(inputs, attributes, compute) {
	if (inputs[0].dims.length !== 3) return compute(inputs, attributes);
	const two = (x, at) => (x && at < 2 ? of([x.dims[0], x.dims[1], 1, x.dims[2]], x.data) : x);
	const pad = attributes.pads ?? [0, 0];
	const one = (name, value) => (attributes[name] ? { [name]: [value, ...attributes[name]] } : {});
	const more = { ...one("strides", 1), ...one("dilations", 1), ...one("output_padding", 0), ...one("kernel_shape", 1) };
	const { dims, data } = compute(inputs.map(two), { ...attributes, ...more, pads: [0, pad[0], 0, pad[1]] });
	return of([dims[0], dims[1], dims[3]], data);
}

const shape2 = (dims, name) => {
	if (dims.length !== 4) throw new Error(`${name} over ${dims.length - 2} sides is not computed here`);
	return dims;
};

function padsOf({ auto_pad = "NOTSET", pads = [0, 0, 0, 0] }) {
	if (auto_pad !== "NOTSET" && auto_pad !== "VALID") throw new Error(`auto_pad ${auto_pad} is not computed here`);
	return pads;
}

function conv(inputs, attributes) {
	return flat(inputs, attributes, ([x, w, bias], { group = 1, strides: by = [1, 1], dilations = [1, 1], ...more }) => {
		const [n, c, h, width] = shape2(x.dims, "Conv");
		const [outs, each, kh, kw] = w.dims;
		const [top, left, bottom, right] = padsOf(more);
		const oh = Math.floor((h + top + bottom - dilations[0] * (kh - 1) - 1) / by[0]) + 1;
		const ow = Math.floor((width + left + right - dilations[1] * (kw - 1) - 1) / by[1]) + 1;
		const place = oh * ow;
		const found = new Float32Array(n * outs * place);
		if (bias) for (let at = 0; at < n * outs; at++) found.fill(bias.data[at % outs], at * place, (at + 1) * place);
		const [own, depth] = [outs / group, each * kh * kw];
		const direct = kh === 1 && kw === 1 && by[0] === 1 && by[1] === 1 && !(top || left || bottom || right);
		const columns = direct ? x.data : new Float32Array(depth * place);
		for (let image = 0; image < n; image++) {
			for (let part = 0; part < group; part++) {
				const from = (image * c + part * each) * h * width;
				if (!direct) {
					columns.fill(0);
					for (let channel = 0, to = 0; channel < each; channel++)
						for (let ky = 0; ky < kh; ky++)
							for (let kx = 0; kx < kw; kx++)
								for (let oy = 0; oy < oh; oy++) {
									const y = oy * by[0] + ky * dilations[0] - top;
									if (y < 0 || y >= h) {
										to += ow;
										continue;
									}
									const row = from + (channel * h + y) * width;
									for (let ox = 0; ox < ow; ox++, to++) {
										const at = ox * by[1] + kx * dilations[1] - left;
										if (at >= 0 && at < width) columns[to] = x.data[row + at];
									}
								}
				}
				const to = (image * outs + part * own) * place;
				product(w.data, part * own * depth, columns, direct ? from : 0, found, to, own, depth, place);
			}
		}
		return of([n, outs, oh, ow], found);
	});
}

function convTranspose(inputs, attributes) {
	return flat(inputs, attributes, ([x, w, bias], { group = 1, strides: by = [1, 1], dilations = [1, 1], ...more }) => {
		const [n, c, h, width] = shape2(x.dims, "ConvTranspose");
		const [, own, kh, kw] = w.dims;
		const [top, left, bottom, right] = padsOf(more);
		const extra = more.output_padding ?? [0, 0];
		const oh = (h - 1) * by[0] + dilations[0] * (kh - 1) + 1 + extra[0] - top - bottom;
		const ow = (width - 1) * by[1] + dilations[1] * (kw - 1) + 1 + extra[1] - left - right;
		const [outs, each, place, depth] = [own * group, c / group, h * width, own * kh * kw];
		const found = new Float32Array(n * outs * oh * ow);
		if (bias) for (let at = 0; at < n * outs; at++) found.fill(bias.data[at % outs], at * oh * ow, (at + 1) * oh * ow);
		for (let image = 0; image < n; image++)
			for (let part = 0; part < group; part++) {
				const kernel = turned(of([each, depth], w.data.subarray(part * each * depth, (part + 1) * each * depth))).data;
				const columns = new Float32Array(depth * place);
				product(kernel, 0, x.data, (image * c + part * each) * place, columns, 0, depth, each, place);
				for (let channel = 0, from = 0; channel < own; channel++)
					for (let ky = 0; ky < kh; ky++)
						for (let kx = 0; kx < kw; kx++)
							for (let iy = 0; iy < h; iy++)
								for (let ix = 0; ix < width; ix++, from++) {
									const y = iy * by[0] + ky * dilations[0] - top;
									const at = ix * by[1] + kx * dilations[1] - left;
									if (y >= 0 && y < oh && at >= 0 && at < ow)
										found[((image * outs + part * own + channel) * oh + y) * ow + at] += columns[from];
								}
			}
		return of([n, outs, oh, ow], found);
	});
}

const pool = (start, add, end) => (inputs, attributes) => {
	const [n, c, h, width] = shape2(inputs[0].dims, "pooling");
	const {
		kernel_shape: [kh, kw],
		strides: by = [1, 1],
		count_include_pad = 0,
	} = attributes;
	const [top, left, bottom, right] = padsOf(attributes);
	const [oh, ow] = [
		Math.floor((h + top + bottom - kh) / by[0]) + 1,
		Math.floor((width + left + right - kw) / by[1]) + 1,
	];
	const found = new Float32Array(n * c * oh * ow);
	walk([n * c, oh, ow], [h * width, 0, 0], 0, (to, from) => {
		const [oy, ox] = [Math.floor(to / ow) % oh, to % ow];
		let [value, count] = [start, 0];
		for (let y = Math.max(0, oy * by[0] - top); y < Math.min(h, oy * by[0] - top + kh); y++)
			for (let x = Math.max(0, ox * by[1] - left); x < Math.min(width, ox * by[1] - left + kw); x++, count++)
				value = add(value, inputs[0].data[from + y * width + x]);
		found[to] = end(value, count_include_pad ? kh * kw : count);
	});
	return of([n, c, oh, ow], found);
};

// -- along axes -------------------------------------------------------------------------------------------------------

/** Call `change(data, start, step, count)` for each line of a copy along an axis. */
function lines(x, axis, change) {
	const found = x.data.slice();
	const at = axisAt(axis, x.dims.length);
	const [step, count] = [strides(x.dims)[at], x.dims[at]];
	for (let outer = 0; outer < found.length; outer += step * count)
		for (let inner = 0; inner < step; inner++) change(found, outer + inner, step, count);
	return of(x.dims, found);
}

const softmax =
	(end) =>
	([x], { axis = -1 }) =>
		lines(x, axis, (data, start, step, count) => {
			let most = -Infinity;
			for (let at = 0; at < count; at++) most = Math.max(most, data[start + at * step]);
			let sum = 0;
			for (let at = 0; at < count; at++) sum += Math.exp(data[start + at * step] - most);
			for (let at = 0; at < count; at++) data[start + at * step] = end(data[start + at * step] - most, sum);
		});

function normalised(x, from, axes, scale, bias, epsilon) {
	const moved = lines(
		of([size(x.dims.slice(0, from)), size(x.dims.slice(from))], x.data),
		1,
		(data, start, step, count) => {
			let [mean, spread] = [0, 0];
			for (let at = 0; at < count; at++) mean += data[start + at] / count;
			for (let at = 0; at < count; at++) spread += (data[start + at] - mean) ** 2 / count;
			const by = 1 / Math.sqrt(spread + epsilon);
			for (let at = 0; at < count; at++) data[start + at] = (data[start + at] - mean) * by;
		},
	);
	const scaled = scale
		? pairs(of(x.dims, moved.data), of(axes(scale.dims), scale.data), (a, b) => a * b)
		: of(x.dims, moved.data);
	return bias ? pairs(scaled, of(axes(bias.dims), bias.data), (a, b) => a + b) : scaled;
}

const channels = (x) => (dims) => [...dims, ...x.dims.slice(2).map(() => 1)];

const reduce =
	(start, add, end = (value) => value) =>
	([x, given], { axes, keepdims = 1, noop_with_empty_axes = 0 }) => {
		const rank = x.dims.length;
		const named = given ? [...given.data] : (axes ?? []);
		if (!named.length && noop_with_empty_axes) return x;
		const over = new Set(named.length ? named.map((axis) => axisAt(axis, rank)) : range(rank));
		const kept = x.dims.map((side, axis) => (over.has(axis) ? 1 : side));
		const found = like(x.data, size(kept)).fill(start);
		const by = strides(kept).map((step, axis) => (over.has(axis) ? 0 : step));
		walk(x.dims, by, 0, (from, to) => (found[to] = add(found[to], x.data[from])));
		const count = x.data.length / found.length;
		for (let at = 0; at < found.length; at++) found[at] = end(found[at], count);
		return of(keepdims ? kept : kept.filter((_, axis) => !over.has(axis)), found);
	};

// -- shapes -----------------------------------------------------------------------------------------------------------

function reshape([x, asked], { allowzero = 0 }) {
	const dims = [...asked.data].map((side, axis) => (side === 0 && !allowzero ? x.dims[axis] : side));
	const free = dims.indexOf(-1);
	if (free >= 0) dims[free] = x.data.length / -size(dims);
	return of(dims, x.data);
}

function transpose([x], { perm = range(x.dims.length).reverse() }) {
	const own = strides(x.dims);
	return strided(
		x,
		perm.map((axis) => x.dims[axis]),
		perm.map((axis) => own[axis]),
	);
}

function slice([x, starts, ends, axes, steps]) {
	const rank = x.dims.length;
	const dims = [...x.dims];
	const by = strides(x.dims);
	let from = 0;
	[...starts.data].forEach((given, number) => {
		const axis = axisAt(axes ? axes.data[number] : number, rank);
		const [side, step] = [x.dims[axis], steps ? steps.data[number] : 1];
		const inside = (place, low, high) => Math.min(high, Math.max(low, place < 0 ? place + side : place));
		const start = step > 0 ? inside(given, 0, side) : inside(given, 0, side - 1);
		const end = step > 0 ? inside(ends.data[number], 0, side) : inside(ends.data[number], -1, side - 1);
		dims[axis] = Math.max(0, Math.ceil((end - start) / step));
		from += start * by[axis];
		by[axis] *= step;
	});
	return strided(x, dims, by, from);
}

function concat(inputs, { axis }) {
	const at = axisAt(axis, inputs[0].dims.length);
	const dims = [...inputs[0].dims];
	dims[at] = inputs.reduce((all, each) => all + each.dims[at], 0);
	const found = like(inputs[0].data, size(dims));
	const [outer, inner] = [size(dims.slice(0, at)), size(dims.slice(at + 1))];
	let to = 0;
	for (let row = 0; row < outer; row++)
		for (const { dims: own, data } of inputs) {
			const length = own[at] * inner;
			found.set(data.subarray(row * length, (row + 1) * length), to);
			to += length;
		}
	return of(dims, found);
}

function split([x, given], { axis = 0, split: named, num_outputs }, outputs) {
	const at = axisAt(axis, x.dims.length);
	const count = num_outputs ?? outputs;
	const even = Math.ceil(x.dims[at] / count);
	const sizes = given
		? [...given.data]
		: (named ?? range(count).map((part) => Math.min(even, x.dims[at] - part * even)));
	let start = 0;
	return sizes.map((length) => {
		const dims = x.dims.map((side, other) => (other === at ? length : side));
		const part = strided(x, dims, strides(x.dims), start * strides(x.dims)[at]);
		start += length;
		return part;
	});
}

function gather([x, indices], { axis = 0 }) {
	const at = axisAt(axis, x.dims.length);
	const [side, inner, outer] = [x.dims[at], size(x.dims.slice(at + 1)), size(x.dims.slice(0, at))];
	const found = like(x.data, outer * indices.data.length * inner);
	let to = 0;
	for (let row = 0; row < outer; row++)
		for (const index of indices.data) {
			const from = (row * side + axisAt(index, side)) * inner;
			found.set(x.data.subarray(from, from + inner), to);
			to += inner;
		}
	return of([...x.dims.slice(0, at), ...indices.dims, ...x.dims.slice(at + 1)], found);
}

function unsqueeze([x, given], { axes }) {
	const named = given ? [...given.data] : axes;
	const rank = x.dims.length + named.length;
	const added = new Set(named.map((axis) => axisAt(axis, rank)));
	const own = [...x.dims];
	return of(
		range(rank).map((axis) => (added.has(axis) ? 1 : own.shift())),
		x.data,
	);
}

function squeeze([x, given], { axes }) {
	const named = given ? [...given.data] : axes;
	const gone = named && new Set(named.map((axis) => axisAt(axis, x.dims.length)));
	return of(
		x.dims.filter((side, axis) => (gone ? !gone.has(axis) : side !== 1)),
		x.data,
	);
}

function pad([x, given, value, over], attributes) {
	const rank = x.dims.length;
	const named = given ? [...given.data] : attributes.pads;
	const axes = over ? [...over.data].map((axis) => axisAt(axis, rank)) : range(rank);
	const [before, after] = [new Array(rank).fill(0), new Array(rank).fill(0)];
	axes.forEach((axis, at) => ([before[axis], after[axis]] = [named[at], named[at + axes.length]]));
	const dims = x.dims.map((side, axis) => side + before[axis] + after[axis]);
	const { mode = "constant" } = attributes;
	const found = like(x.data, size(dims)).fill(value?.data[0] ?? 0);
	const own = strides(x.dims);
	const to = strides(dims);
	const read = {
		constant: (place) => place,
		edge: (place, side) => Math.min(side - 1, Math.max(0, place)),
		reflect: (place, side) => (place < 0 ? -place : place >= side ? 2 * side - 2 - place : place),
	}[mode];
	if (!read) throw new Error(`padding by ${mode} is not computed here`);
	for (let at = 0; at < found.length; at++) {
		let from = 0;
		for (let axis = 0; axis < rank && from >= 0; axis++) {
			const place = read((Math.floor(at / to[axis]) % dims[axis]) - before[axis], x.dims[axis]);
			from = place < 0 || place >= x.dims[axis] ? -1 : from + place * own[axis];
		}
		if (from >= 0) found[at] = x.data[from];
	}
	return of(dims, found);
}

/** Blocks of channels become blocks of pixels: `CRD` as torch lays them, `DCR` as ONNX does by itself. */
function depthToSpace([x], { blocksize: block, mode = "DCR" }) {
	const [n, c, h, w] = x.dims;
	const deep = c / block ** 2;
	const apart = mode === "CRD" ? [n, deep, block, block, h, w] : [n, block, block, deep, h, w];
	const order = mode === "CRD" ? [0, 1, 4, 2, 5, 3] : [0, 3, 4, 1, 5, 2];
	return of([n, deep, h * block, w * block], transpose([of(apart, x.data)], { perm: order }).data);
}

function spaceToDepth([x], { blocksize: block }) {
	const [n, c, h, w] = x.dims;
	const apart = of([n, c, h / block, block, w / block, block], x.data);
	return of([n, c * block ** 2, h / block, w / block], transpose([apart], { perm: [0, 3, 5, 1, 2, 4] }).data);
}

function resize(
	[x, , scales, sizes],
	{ mode = "nearest", coordinate_transformation_mode: how = "half_pixel", nearest_mode = "round_prefer_floor" },
) {
	const dims = sizes?.data.length ? [...sizes.data] : x.dims.map((side, axis) => Math.floor(side * scales.data[axis]));
	const place = (to, axis) => {
		const scale = sizes?.data.length ? dims[axis] / x.dims[axis] : scales.data[axis];
		if (how === "asymmetric") return to / scale;
		if (how === "align_corners") return dims[axis] > 1 ? (to * (x.dims[axis] - 1)) / (dims[axis] - 1) : 0;
		if (how === "half_pixel" || how === "pytorch_half_pixel") return (to + 0.5) / scale - 0.5;
		throw new Error(`resizing by ${how} is not computed here`);
	};
	const near = {
		floor: Math.floor,
		ceil: Math.ceil,
		round_prefer_ceil: Math.round,
		round_prefer_floor: (at) => Math.ceil(at - 0.5),
	}[nearest_mode];
	if (mode !== "nearest" && mode !== "linear") throw new Error(`resizing by ${mode} is not computed here`);
	// An axis at a time: that is what linear over several axes comes to.
	return dims.reduce((now, wanted, axis) => {
		if (wanted === now.dims[axis]) return now;
		const [side, inner] = [now.dims[axis], size(now.dims.slice(axis + 1))];
		const outer = size(now.dims.slice(0, axis));
		const found = like(now.data, outer * wanted * inner);
		for (let to = 0; to < wanted; to++) {
			const at = Math.min(side - 1, Math.max(0, place(to, axis)));
			const low = mode === "nearest" ? Math.min(side - 1, Math.max(0, near(place(to, axis)))) : Math.floor(at);
			const [high, part] = mode === "nearest" ? [low, 0] : [Math.min(side - 1, low + 1), at - low];
			for (let row = 0; row < outer; row++)
				for (let column = 0; column < inner; column++) {
					const base = row * side * inner + column;
					const value = now.data[base + low * inner] * (1 - part) + now.data[base + high * inner] * part;
					found[(row * wanted + to) * inner + column] = value;
				}
		}
		return of(
			now.dims.map((own, other) => (other === axis ? wanted : own)),
			found,
		);
	}, x);
}

const TO = { 1: Float32Array, 11: Float32Array };

/** @type {{[name: string]: (inputs: any[], attributes: any, outputs: number) => any}} */
export const operations = {
	Identity: ([x]) => x,
	Dropout: ([x]) => x,
	Constant: (_, { value, value_float, value_int, value_floats, value_ints }) => {
		if (value) return value;
		if (value_float !== undefined) return of([], Float32Array.of(value_float));
		if (value_int !== undefined) return of([], whole([value_int]));
		return value_floats
			? of([value_floats.length], Float32Array.from(value_floats))
			: of([value_ints.length], whole(value_ints));
	},
	ConstantOfShape: ([shape], { value }) =>
		of([...shape.data], like(value?.data ?? new Float32Array(1), size([...shape.data])).fill(value?.data[0] ?? 0)),
	Shape: ([x], { start = 0, end }) => {
		const dims = x.dims.slice(start, end);
		return of([dims.length], whole(dims));
	},
	Range: ([from, to, step]) => {
		const count = Math.max(0, Math.ceil((to.data[0] - from.data[0]) / step.data[0]));
		return of(
			[count],
			like(from.data, count).map((_, at) => from.data[0] + at * step.data[0]),
		);
	},
	Cast: ([x], { to }) =>
		of(
			x.dims,
			TO[to] ? Float32Array.from(x.data) : Float64Array.from(x.data, to === 9 ? (v) => (v ? 1 : 0) : Math.trunc),
		),
	Reshape: reshape,
	Flatten: ([x], { axis = 1 }) => of([size(x.dims.slice(0, axis)), size(x.dims.slice(axis))], x.data),
	Transpose: transpose,
	Slice: slice,
	Concat: concat,
	Split: split,
	Gather: gather,
	Squeeze: squeeze,
	Unsqueeze: unsqueeze,
	Expand: ([x, shape]) => {
		const dims = together(x.dims, [...shape.data]);
		return strided(x, dims, wide(x.dims, dims));
	},
	Tile: ([x, repeats]) =>
		[...repeats.data].reduce((now, times, axis) => concat(new Array(times).fill(now), { axis }), x),
	Pad: pad,
	Where: ([condition, a, b]) => {
		const dims = together(together(condition.dims, a.dims), b.dims);
		const [yes, no] = [a, b].map((x) => strided(x, dims, wide(x.dims, dims)));
		const found = like(a.data, size(dims));
		walk(
			dims,
			wide(condition.dims, dims),
			0,
			(to, from) => (found[to] = condition.data[from] ? yes.data[to] : no.data[to]),
		);
		return of(dims, found);
	},
	MatMul: matmul,
	Gemm: gemm,
	Conv: conv,
	ConvTranspose: convTranspose,
	MaxPool: pool(-Infinity, Math.max, (value) => value),
	AveragePool: pool(
		0,
		(sum, value) => sum + value,
		(sum, count) => sum / count,
	),
	GlobalAveragePool: ([x]) => operations.ReduceMean([x], { axes: range(x.dims.length).slice(2) }, 1),
	BatchNormalization: ([x, scale, bias, mean, spread], { epsilon = 1e-5 }) => {
		const by = scale.data.map((value, at) => value / Math.sqrt(spread.data[at] + epsilon));
		const shift = bias.data.map((value, at) => value - mean.data[at] * by[at]);
		const [dims] = [channels(x)([scale.dims[0]])];
		return pairs(
			pairs(x, of(dims, by), (a, b) => a * b),
			of(dims, shift),
			(a, b) => a + b,
		);
	},
	LayerNormalization: ([x, scale, bias], { axis = -1, epsilon = 1e-5 }) =>
		normalised(x, axisAt(axis, x.dims.length), (dims) => dims, scale, bias, epsilon),
	InstanceNormalization: ([x, scale, bias], { epsilon = 1e-5 }) => normalised(x, 2, channels(x), scale, bias, epsilon),
	Softmax: softmax((value, sum) => Math.exp(value) / sum),
	LogSoftmax: softmax((value, sum) => value - Math.log(sum)),
	Relu: each((x) => Math.max(0, x)),
	LeakyRelu: ([x], { alpha = 0.01 }) => each((v) => (v < 0 ? alpha * v : v))([x]),
	Elu: ([x], { alpha = 1 }) => each((v) => (v < 0 ? alpha * Math.expm1(v) : v))([x]),
	Selu: ([x], { alpha = 1.6732632, gamma = 1.050701 }) => each((v) => gamma * (v < 0 ? alpha * Math.expm1(v) : v))([x]),
	PRelu: ([x, slope]) => pairs(x, slope, (v, by) => (v < 0 ? by * v : v)),
	HardSigmoid: ([x], { alpha = 0.2, beta = 0.5 }) => each((v) => Math.min(1, Math.max(0, alpha * v + beta)))([x]),
	HardSwish: each((v) => v * Math.min(1, Math.max(0, v / 6 + 0.5))),
	Gelu: ([x], { approximate = "none" }) =>
		each(
			approximate === "tanh"
				? (v) => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)))
				: (v) => 0.5 * v * (1 + erf(v / Math.SQRT2)),
		)([x]),
	Sigmoid: each(sigmoid),
	Softplus: each((v) => Math.log1p(Math.exp(-Math.abs(v))) + Math.max(v, 0)),
	Softsign: each((v) => v / (1 + Math.abs(v))),
	Tanh: each(Math.tanh),
	Erf: each(erf),
	Sqrt: each(Math.sqrt),
	Exp: each(Math.exp),
	Log: each(Math.log),
	Abs: each(Math.abs),
	Neg: each((x) => -x),
	Reciprocal: each((x) => 1 / x),
	Sin: each(Math.sin),
	Cos: each(Math.cos),
	Floor: each(Math.floor),
	Ceil: each(Math.ceil),
	Sign: each(Math.sign),
	Not: each((x) => (x ? 0 : 1)),
	Clip: ([x, low, high], { min, max }) => {
		const [from, to] = [low?.data[0] ?? min ?? -Infinity, high?.data[0] ?? max ?? Infinity];
		return each((v) => Math.min(to, Math.max(from, v)))([x]);
	},
	Add: both((a, b) => a + b),
	Sub: both((a, b) => a - b),
	Mul: both((a, b) => a * b),
	Div: ([a, b]) => pairs(a, b, integers(a, b) ? (x, y) => Math.trunc(x / y) : (x, y) => x / y),
	Pow: both((a, b) => a ** b),
	Mod: ([a, b], { fmod = 0 }) => pairs(a, b, (x, y) => (fmod ? x % y : x - Math.floor(x / y) * y)),
	Min: both(Math.min),
	Max: both(Math.max),
	Sum: both((a, b) => a + b),
	Equal: truth((a, b) => a === b),
	Less: truth((a, b) => a < b),
	LessOrEqual: truth((a, b) => a <= b),
	Greater: truth((a, b) => a > b),
	GreaterOrEqual: truth((a, b) => a >= b),
	And: truth((a, b) => a && b),
	Or: truth((a, b) => a || b),
	ReduceSum: reduce(0, (sum, value) => sum + value),
	ReduceMean: reduce(
		0,
		(sum, value) => sum + value,
		(sum, count) => sum / count,
	),
	ReduceProd: reduce(1, (all, value) => all * value),
	ReduceMax: reduce(-Infinity, Math.max),
	ReduceMin: reduce(Infinity, Math.min),
	ReduceL2: reduce(0, (sum, value) => sum + value * value, Math.sqrt),
	DepthToSpace: depthToSpace,
	SpaceToDepth: spaceToDepth,
	Resize: resize,
};

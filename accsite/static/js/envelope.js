// The part of a long history that is held only as min, max and mean of buckets; fetched when a job has one.

export function envelope({ header, columns }) {
	const { series, start, stop, bucket, count, kind, last = {} } = header;
	const column = (row) => new Map(series.map((name, i) => [name, columns[kind === "raw" ? i : 3 * i + row]]));
	const x = Array.from({ length: count }, (_, i) => Math.min(start + i * bucket + (bucket - 1) / 2, stop - 1));
	return { from: start, stop, width: bucket, names: series, x, min: column(0), max: column(1), mean: column(2), last };
}

// Add the buckets in from..to to x and to each name's [min, max, line]; return what the smoothing carries on.
// weight: of the average; forget: after so many steps without a value it begins anew.
export function addEnvelope(base, from, to, { weight, forget }, x, out) {
	const memory = weight ** base.width; // the same memory in steps, bucket by bucket
	const inside = base.x.map((step) => step >= from - base.width && step <= to);
	x.push(...base.x.filter((_, i) => inside[i]));
	const carried = new Map();
	const known = (value) => (value === value ? value : null);
	for (const [name, [lows, highs, line]] of out) {
		const [min, max, mean] = [base.min.get(name), base.max.get(name), base.mean.get(name)];
		let [last, n, missing] = [0, 0, 0];
		for (let i = 0; i < base.x.length; i++) {
			const value = mean ? known(mean[i]) : null;
			if (value === null) missing += base.width;
			else {
				if (missing > forget) [last, n] = [0, 0];
				[last, n, missing] = [last * memory + (1 - memory) * value, n + 1, 0];
			}
			if (!inside[i]) continue;
			lows.push(min ? known(min[i]) : null);
			highs.push(max ? known(max[i]) : null);
			line.push(value === null || !weight ? value : last / (1 - memory ** n));
		}
		carried.set(name, { last, bias: memory ** n, missing });
	}
	return carried;
}

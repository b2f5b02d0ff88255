// How numbers are written for people: the same as accsite/numbers.py, which writes those that a page comes with.

export const NONE = "–";
const three = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

// A measured number: three significant digits, or to the unit from 1,000 on.
export function compact(value) {
	if (value == null || Number.isNaN(value)) return NONE;
	if (!Number.isFinite(value)) return value > 0 ? "∞" : "-∞";
	if (value === 0) return "0";
	const size = Math.abs(value);
	if (size < 1e-3 || size >= 1e6) return value.toExponential(1);
	return size >= 1000 ? whole.format(value) : three.format(value);
}

// A number that somebody has set, whole.
export function exact(value) {
	if (value == null || !Number.isFinite(value)) return compact(value);
	return value === 0 ? "0" : String(value);
}

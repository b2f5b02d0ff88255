// A metric as colour: perceptually even maps that every eye orders alike.

const MAPS = {
	cividis: [
		"#00224e",
		"#123570",
		"#3b496c",
		"#575d6d",
		"#707173",
		"#8a8678",
		"#a59c74",
		"#c3b369",
		"#e1cc55",
		"#fee838",
	],
	viridis: [
		"#440154",
		"#482878",
		"#3e4989",
		"#31688e",
		"#26828e",
		"#1f9e89",
		"#35b779",
		"#6ece58",
		"#b5de2b",
		"#fde725",
	],
};

const parts = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

export function colour(level, map) {
	const stops = MAPS[map] ?? MAPS.cividis;
	const at = Math.max(0, Math.min(1, level)) * (stops.length - 1);
	const low = Math.min(Math.floor(at), stops.length - 2);
	const [from, to] = [parts(stops[low]), parts(stops[low + 1])];
	return `rgb(${from.map((value, i) => Math.round(value + (to[i] - value) * (at - low))).join(" ")})`;
}

// How well a name is what was typed: the same ranks as accsite/search. It touches no document.

export const [EXACT, BEGINS, HOLDS, IN_ORDER] = [0, 1, 2, 3];

function inOrder(letters, text) {
	let at = -1;
	return [...letters].every((letter) => (at = text.indexOf(letter, at + 1)) >= 0);
}

/** @returns {number | null} null: it is not what was typed */
export function howWell(typed, name, about = "") {
	const asked = typed.trim().toLowerCase().replace(/\s+/g, " ");
	const called = name.toLowerCase();
	const whole = `${called} ${about.toLowerCase()}`;
	const terms = asked.split(" ");
	if (called === asked) return EXACT;
	if (called.startsWith(asked)) return BEGINS;
	if (terms.every((term) => whole.includes(term))) return HOLDS;
	if (terms.every((term) => whole.includes(term) || (term.length > 1 && inOrder(term, called)))) return IN_ORDER;
	return null;
}

/** Return those of items that are what was typed, or as near as `worst`, best first; all of them if nothing was. */
export function matching(typed, items, worst = IN_ORDER) {
	if (!typed.trim()) return items;
	return items
		.map((item) => ({ item, rank: howWell(typed, item.name, item.about) }))
		.filter(({ rank }) => rank !== null && rank <= worst)
		.sort((a, b) => a.rank - b.rank)
		.map(({ item }) => item);
}

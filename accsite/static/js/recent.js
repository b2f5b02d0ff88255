// The pages and things that somebody was at last, newest first: kept by this browser alone, apart for each user.

const MOST = 40;
const place = (user) => `acc:recent:${user}`;

/** @returns {{ name: string, about: string, url: string }[]} */
export function recent(user) {
	try {
		const kept = JSON.parse(localStorage.getItem(place(user)) ?? "[]");
		return Array.isArray(kept) ? kept.filter(({ name, url }) => name && url?.startsWith("/")) : [];
	} catch {
		return []; // a browser that keeps nothing, or what something else has written there
	}
}

export function remember(user, { name, about = "", url }) {
	const kept = [{ name, about, url }, ...recent(user).filter((other) => other.url !== url)];
	try {
		localStorage.setItem(place(user), JSON.stringify(kept.slice(0, MOST)));
	} catch {
		// full, or not allowed: the palette works without
	}
}

export function forget(user) {
	try {
		localStorage.removeItem(place(user));
	} catch {
		// there is nothing then
	}
}

// Copies an action or a figure as a line for a shell, for curl, or as Python. Fetched when first asked for.
//
// The place is written by {% copy_as %} (templatetags/copying.py): data-path, data-method, data-body (JSON),
// data-cli (JSON list of manage.py's arguments), and data-form, a selector of a form whose fields, as they stand,
// go into the body (under the key data-into, if given) and onto the command line as --name value. API tokens are
// made on the profile page; the texts read one from the environment, so that none is ever copied.

const AUTH = "Authorization: Token";

// As shlex.quote: what a POSIX shell hands on unchanged.
const QUOTE = `'"'"'`; // in a text of its own: within another, what is served would be another program
export const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", QUOTE)}'`);

const WORDS = { null: "None", true: "True", false: "False" };
export function python(value) {
	if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
	if (value && typeof value === "object") {
		const items = Object.entries(value).map(([name, inner]) => `${JSON.stringify(name)}: ${python(inner)}`);
		return `{${items.join(", ")}}`;
	}
	return WORDS[value] ?? JSON.stringify(value);
}

function fields(form) {
	const found = [...form.elements].filter(
		(field) =>
			field.name &&
			field.value !== "" &&
			!["hidden", "submit"].includes(field.type) &&
			(field.type !== "checkbox" || field.checked),
	);
	const typed = {};
	for (const { name, type, value } of found) {
		// Boxes of one name are a list, a box alone is true.
		if (type !== "checkbox") typed[name] = type === "number" ? Number(value) : value;
		else if (form.elements[name] instanceof RadioNodeList) (typed[name] ??= []).push(value);
		else typed[name] = true;
	}
	return typed;
}

export function texts({ path, method = "GET", body, cli, form, into }) {
	const url = new URL(path, location.href).href;
	const typed = form ? fields(document.querySelector(form)) : {};
	let sent = body ? JSON.parse(body) : null;
	if (form) sent = into ? { ...sent, [into]: { ...sent?.[into], ...typed } } : { ...sent, ...typed };
	const options = Object.entries(typed).flatMap(([name, value]) => {
		const flag = `--${name.replaceAll("_", "-")}`;
		return value === true ? [flag] : [flag, String(value)];
	});
	const json = JSON.stringify(sent);
	const curl = ["curl", "-fsS", "-H", `"${AUTH} $ACC_TOKEN"`];
	if (sent) curl.push("-X", method, "-H", quoted("Content-Type: application/json"), "--data-raw", quoted(json));
	const kind = sent ? ', "Content-Type": "application/json"' : "";
	const headers = `{"Authorization": f"Token {os.environ['ACC_TOKEN']}"${kind}}`;
	const request = [`    ${JSON.stringify(url)},`, `    headers=${headers},`];
	if (sent) request.push(`    method="${method}",`, `    data=json.dumps(${python(sent)}).encode(),`);
	return {
		cli: cli && [".venv/bin/python", "manage.py", ...JSON.parse(cli), ...options].map(quoted).join(" "),
		curl: [...curl, quoted(url)].join(" "),
		python: [
			"import json",
			"import os",
			"import urllib.request",
			"",
			"request = urllib.request.Request(",
			...request,
			")",
			"with urllib.request.urlopen(request) as response:",
			"    print(json.load(response))",
			"",
		].join("\n"),
	};
}

export function copy(button) {
	return navigator.clipboard.writeText(texts(button.closest("[data-path]").dataset)[button.dataset.copyAs]);
}

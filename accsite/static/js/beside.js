// Sentences of the server about fields that are being filled in, put beside them and taken away again.

// errors: field name -> sentences. Returns those of no field that is shown.
export function mark(form, errors) {
	for (const old of form.querySelectorAll(".error[data-preview]")) {
		const input = old.parentElement.querySelector("input, select");
		input.removeAttribute("aria-invalid");
		input.removeAttribute("aria-describedby");
		old.remove();
	}
	const rest = [];
	for (const [name, messages] of Object.entries(errors)) {
		const text = messages.join(" ");
		const input = name && form.elements[name];
		const place = input && input.closest(".field");
		if (!place) {
			rest.push(text);
			continue;
		}
		place.querySelector(".error")?.remove();
		const error = Object.assign(document.createElement("span"), {
			className: "error",
			id: `${input.id}_error`,
			textContent: text,
		});
		error.dataset.preview = "";
		place.append(error);
		input.setAttribute("aria-invalid", "true");
		input.setAttribute("aria-describedby", error.id);
	}
	return rest;
}

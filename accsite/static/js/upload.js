// Uploads a file with its progress, and says what it seems to be before it is sent.

const form = document.getElementById("upload");
const sending = document.getElementById("sending");
const bar = sending.querySelector("progress");
const sent = document.getElementById("sent");
const button = form.querySelector("[type=submit]");
function size(bytes) {
	if (bytes < 2 ** 20) return `${(bytes / 2 ** 10).toFixed(1)} KiB`;
	if (bytes < 2 ** 30) return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
	return `${(bytes / 2 ** 30).toFixed(2)} GiB`;
}

// What a file is, by how it begins; the server looks again, and decides.
async function kindOf(file) {
	const head = new DataView(await file.slice(0, 16).arrayBuffer());
	if (head.byteLength < 8) return "too short for a dataset";
	const first = head.getUint32(0);
	const ending = file.name.toLowerCase().split(".").pop();
	if (first === 0x00000803 && head.byteLength === 16)
		return `IDX, ${head.getUint32(4).toLocaleString("en")} images of ${head.getUint32(8)} × ${head.getUint32(12)}`;
	if (first === 0x00000801) return `IDX labels, ${head.getUint32(4).toLocaleString("en")} of them`;
	if (first >>> 16 === 0x1f8b) return "gzip, an IDX file if it is to be read";
	if (first === 0x934e554d) return "a NumPy array (.npy)";
	if (first === 0x504b0304)
		return { npz: "NumPy arrays (.npz)", pt: "PyTorch tensors", pth: "PyTorch tensors" }[ending] ?? "a zip of images";
	if (head.getUint8(8) === 0x7b) return "a dataset of ACC (.safetensors)";
	if (ending === "csv") return "a table (CSV)";
	return `no kind that is known by how it begins (.${ending})`;
}

form.addEventListener("change", async ({ target }) => {
	if (target.type !== "file") return;
	const help = target.closest(".field").querySelector(".help");
	help.dataset.was ??= help.textContent;
	const file = target.files[0];
	help.textContent = file ? `${size(file.size)}: ${await kindOf(file)}` : help.dataset.was;
	mark(target, "");
});

// A file may be dropped anywhere on the zone; it goes into the field, as if it had been chosen there.
const zone = document.getElementById("drop");
const holdsFile = ({ dataTransfer }) => dataTransfer.types.includes("Files");
zone.addEventListener("dragover", (event) => {
	if (!holdsFile(event)) return;
	event.preventDefault();
	zone.dataset.over = "";
});
zone.addEventListener("dragleave", ({ relatedTarget }) => {
	if (!zone.contains(relatedTarget)) delete zone.dataset.over;
});
zone.addEventListener("drop", (event) => {
	if (!holdsFile(event)) return;
	event.preventDefault();
	delete zone.dataset.over;
	const field = zone.querySelector("[type=file]");
	field.files = event.dataTransfer.files;
	field.dispatchEvent(new Event("change", { bubbles: true }));
});

function mark(input, text) {
	const field = input.closest(".field");
	field.querySelector(".error")?.remove();
	input.toggleAttribute("aria-invalid", false);
	if (!text) return;
	const error = Object.assign(document.createElement("span"), {
		className: "error",
		id: `${input.id}_error`,
		textContent: text,
	});
	input.setAttribute("aria-invalid", "true");
	input.setAttribute("aria-describedby", error.id);
	field.append(error);
}

function refuse(found) {
	const rest = [];
	const errors = found.errors ?? { "": found.detail ?? "The server refused the upload." };
	for (const [name, messages] of Object.entries(errors)) {
		const input = form.elements[name];
		if (input?.closest?.(".field")) mark(input, [messages].flat().join(" "));
		else rest.push([messages].flat().join(" "));
	}
	form.querySelector(".errors")?.remove();
	if (!rest.length) return;
	const box = Object.assign(document.createElement("p"), { className: "errors wide", textContent: rest.join(" ") });
	box.setAttribute("role", "alert");
	form.prepend(box);
}

form.addEventListener("submit", (event) => {
	event.preventDefault();
	if (!sending.hidden) return;
	for (const input of form.querySelectorAll(".field :is(input, select)")) mark(input, "");
	const { file, labels, name, pixels, csrfmiddlewaretoken, idempotency_key: key } = form.elements;
	if (!file.files.length) return mark(file, "choose the file that holds the images");
	if (file.files[0].size > Number(form.dataset.most))
		return mark(file, `it has ${size(file.files[0].size)}; at most ${size(Number(form.dataset.most))} are allowed`);
	const data = new FormData();
	data.append("file", file.files[0]);
	if (labels.files.length) data.append("labels", labels.files[0]);
	data.append("name", name.value);
	data.append("pixels", pixels.value);
	data.append("look", "true");
	const request = new XMLHttpRequest();
	const began = performance.now();
	const done = () => {
		sending.hidden = true;
		button.disabled = false;
		delete form.dataset.sent;
	};
	request.upload.onprogress = ({ loaded, total }) => {
		bar.max = total;
		bar.value = loaded;
		const left = ((performance.now() - began) / 1000) * (total / Math.max(1, loaded) - 1);
		sent.textContent =
			loaded < total ? `${size(loaded)} of ${size(total)}, ${Math.ceil(left)}s left` : "being taken in…";
	};
	request.onload = () => {
		if (request.status === 202) {
			const { id } = JSON.parse(request.responseText);
			return location.assign(form.dataset.done.replace("/0/", `/${id}/`));
		}
		done();
		let found = {};
		try {
			found = JSON.parse(request.responseText);
		} catch {
			const tooLarge = request.status === 413;
			found.detail = tooLarge ? "The server takes no file of this size." : `The server answered ${request.status}.`;
		}
		refuse(found);
	};
	const fail = (detail) => {
		done();
		refuse({ detail });
	};
	request.onerror = () => fail("The server could not be reached; the upload was not finished.");
	request.onabort = () => fail("The upload was cancelled; nothing was kept.");
	document.getElementById("stop-upload").onclick = () => request.abort();
	request.open("POST", form.dataset.api);
	request.setRequestHeader("X-CSRFToken", csrfmiddlewaretoken.value);
	request.setRequestHeader("Idempotency-Key", key.value);
	sending.hidden = false;
	button.disabled = true;
	bar.value = 0;
	request.send(data);
});

// The slider of a weight: 0, then powers of ten from 0.0001 to 100. The number beside it is what is sent.

document.addEventListener("input", ({ target }) => {
	if (!target.matches(".tasks [type=range]")) return;
	const at = Number(target.value);
	target.nextElementSibling.value = at && Number((10 ** (at * 0.06 - 4)).toPrecision(2));
});

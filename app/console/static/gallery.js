// @ts-check
// Pictures: keep what is ticked when the page is swapped, count it, and move with the arrow keys from picture to picture.

/** @type {Set<string>} */
const ticked = new Set();
let opened = document.querySelector(".tiles a[aria-current]")?.id ?? "";

/** @returns {NodeListOf<HTMLInputElement>} */
const boxes = () => document.querySelectorAll(".gallery input[name=id]");

function count() {
  const output = document.querySelector(".chosen output");
  if (!(output instanceof HTMLElement)) return;
  const number = [...boxes()].filter((box) => box.checked).length;
  output.textContent = number === 1 ? output.dataset.one ?? "" : (output.dataset.several ?? "").replace("#", String(number));
}

document.addEventListener("change", (event) => {
  const box = event.target;
  if (!(box instanceof HTMLInputElement) || !box.matches(".gallery input[name=id]")) return;
  if (box.checked) ticked.add(box.value);
  else ticked.delete(box.value);
  count();
});

document.addEventListener("swapped", () => {
  for (const box of boxes()) box.checked = ticked.has(box.value);
  const panel = document.querySelector(".panel");
  const tile = document.querySelector(".tiles a[aria-current]");
  tile?.scrollIntoView({ block: "nearest" });
  // The keyboard goes on in the panel, and where that was closed at the picture that was open.
  const goal = panel ?? document.getElementById(opened);
  if (goal instanceof HTMLElement) goal.focus({ preventScroll: true });
  opened = tile?.id ?? "";
  count();
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || (event.target instanceof Element && event.target.matches("input, select, textarea"))) return;
  const named = { ArrowLeft: "[rel=prev]", ArrowRight: "[rel=next]", Escape: "[data-close]" }[event.key];
  const link = named && document.querySelector(`.panel .bar ${named}`);
  if (link instanceof HTMLElement) link.click();
});

for (const box of boxes()) if (box.checked) ticked.add(box.value);
for (const field of document.querySelectorAll("input[data-select]")) if (field instanceof HTMLInputElement) field.select();
count();

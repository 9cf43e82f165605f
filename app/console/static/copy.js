// @ts-check
// Copy what a button names with `data-copy`. Over plain http browsers have no clipboard for programs: there the text is selected,
// and the button says so.

document.addEventListener("click", async (event) => {
  const button = event.target instanceof Element ? event.target.closest("button[data-copy]") : null;
  if (!(button instanceof HTMLButtonElement)) return;
  const source = document.getElementById(button.dataset.copy ?? "");
  if (source === null) return;
  const text = isField(source) ? source.value : source.textContent ?? "";
  const label = button.querySelector("span") ?? button;
  try {
    await navigator.clipboard.writeText(text);
    label.textContent = button.dataset.copied ?? "";
  } catch {
    select(source);
    label.textContent = button.dataset.selected ?? "";
  }
});

/** @param {HTMLElement} source */
function select(source) {
  if (isField(source)) {
    source.select();
    return;
  }
  getSelection()?.selectAllChildren(source);
}

/**
 * @param {HTMLElement} element
 * @returns {element is HTMLInputElement | HTMLTextAreaElement}
 */
function isField(element) {
  return element instanceof HTMLInputElement || element instanceof HTMLTextAreaElement;
}

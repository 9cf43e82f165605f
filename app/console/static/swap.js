// @ts-check
// Follow links and send GET forms inside `main` that are marked `data-swap` without loading the whole page: only `main` is
// replaced, and the address follows. Whatever goes wrong, the browser loads the page as it would without this.

/** @type {AbortController | null} */
let running = null;

/**
 * @param {string} address
 * @param {boolean} isNew  Whether the address goes into the history.
 */
async function swap(address, isNew) {
  const main = document.querySelector("main");
  if (main === null) return;
  running?.abort();
  running = new AbortController();
  main.classList.add("loading");
  try {
    const answer = await fetch(address, { signal: running.signal, headers: { accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const found = page.querySelector("main");
    if (found === null || answer.redirected) throw new Error("another page");
    if (isNew) history.pushState(null, "", address);
    document.title = page.title;
    main.replaceWith(found);
    document.dispatchEvent(new Event("swapped"));
    /** @type {HTMLElement | null} */ (document.querySelector(`[name="${focusName()}"]`))?.focus();
  } catch (error) {
    if (!(error instanceof DOMException && error.name === "AbortError")) location.assign(address);
  }
}

/** Name of the field that had the focus before the swap, so that it has it afterwards. */
function focusName() {
  return lastField.replace(/["\\]/g, "");
}
let lastField = "-";

document.addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("a[data-swap], [data-swap] a") : null;
  if (!(link instanceof Element) || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  const address = link.getAttribute("href");
  if (!address || link.hasAttribute("download")) return;
  event.preventDefault();
  lastField = "-";
  void swap(address, true);
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || !form.matches("form[data-swap]") || form.method !== "get") return;
  event.preventDefault();
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value !== "") query.append(name, String(value));
  void swap(`${form.getAttribute("action")}?${query}`, true);
});

document.addEventListener("change", (event) => {
  const field = event.target;
  if (!(field instanceof HTMLSelectElement || field instanceof HTMLInputElement)) return;
  if (field.form?.matches("form[data-swap]") !== true || field.type === "search") return;
  lastField = field.name;
  field.form.requestSubmit();
});

addEventListener("popstate", () => void swap(location.href, false));

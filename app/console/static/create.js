// @ts-check
// On the page that makes pictures: follow the price while the form is filled in, and the jobs until they have ended. Both replace
// parts of the page by those of a page that the server renders.

const PAUSE_MS = 350;
const FOLLOW_MS = 1500;

/** @type {AbortController | null} */
let asking = null;
/** @type {Set<string>} Names of fields that changed since the last answer. */
const changes = new Set();
let timer = 0;

/**
 * Replace elements of this page, by id, by those of an answer.
 * @param {Response} answer
 * @param {string[]} ids
 */
async function replace(answer, ids) {
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const id of ids) {
    const [old, found] = [document.getElementById(id), page.getElementById(id)];
    // What has not changed stays, so that nothing is read out again.
    if (found !== null && (found.dataset.state === undefined || found.dataset.state !== old?.dataset.state)) old?.replaceWith(found);
  }
}

/**
 * @param {HTMLFormElement} form
 * @param {string} changed  Name of the field that changed.
 */
async function price(form, changed) {
  changes.add(changed);
  asking?.abort();
  const mine = (asking = new AbortController());
  const body = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (typeof value === "string") body.append(name, value);
  const shown = document.getElementById("price");
  shown?.classList.add("loading");
  try {
    const answer = await fetch(form.dataset.price ?? "", { method: "POST", body, signal: mine.signal });
    if (!answer.ok || answer.redirected) throw new Error("no price");
    const beside = [changes.has("model") || changes.has("project") ? "options" : "", changes.has("jobs") ? "choices" : ""];
    await replace(answer, [...beside.filter((id) => id !== ""), "price"]);
    changes.clear();
    if (changed === "model") /** @type {HTMLElement | null} */ (form.querySelector("[name=model]:checked"))?.focus();
    if (changed === "project") document.getElementById("project")?.focus();
  } catch {
    if (!mine.signal.aborted) shown?.classList.remove("loading");
  }
}

document.addEventListener("input", (event) => {
  const field = event.target;
  if (!(field instanceof HTMLInputElement || field instanceof HTMLTextAreaElement || field instanceof HTMLSelectElement)) return;
  const form = field.form;
  if (form?.dataset.price === undefined || ["", "image", "picture"].includes(field.name)) return;
  clearTimeout(timer);
  asking?.abort();
  document.getElementById("price")?.classList.add("loading"); // It is that of what stood there before.
  timer = setTimeout(() => void price(form, field.name), field.name === "prompt" ? PAUSE_MS : 0);
});

/** @param {string} address  Page with the jobs only. */
async function look(address) {
  try {
    const answer = await fetch(address);
    if (answer.ok && !answer.redirected) await replace(answer, ["bought", "jobs"]);
    const form = document.querySelector("form[data-price]");
    const ended = document.getElementById("jobs")?.dataset.follow === undefined;
    if (ended && form instanceof HTMLFormElement) await price(form, "jobs"); // What is left has changed, and one's last pictures.
  } catch {
    // The next turn tries again.
  }
}

async function follow() {
  const address = document.getElementById("jobs")?.dataset.follow;
  if (address !== undefined && !document.hidden) await look(address);
  setTimeout(follow, FOLLOW_MS);
}

// Wait for a job no longer, without losing what is written in the form.
document.addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("a[data-stop]") : null;
  if (!(link instanceof HTMLAnchorElement) || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  history.replaceState(null, "", link.href);
  void look(link.dataset.stop ?? "");
});

/** Count the seconds of jobs between two answers; `data-since` is in milliseconds. */
function count() {
  for (const element of document.querySelectorAll("[data-since]")) {
    if (!(element instanceof HTMLElement)) continue;
    const since = Number(element.dataset.since) + 1000;
    element.dataset.since = String(since);
    element.textContent = (element.textContent ?? "").replace(/\d+/, String(Math.floor(since / 1000)));
    const progress = element.closest("article")?.querySelector("progress");
    if (progress) progress.value = Math.min(since, progress.max);
  }
}

if (document.querySelector("form[data-price]") !== null) {
  setTimeout(follow, FOLLOW_MS);
  setInterval(count, 1000);
}

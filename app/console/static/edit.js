// @ts-check
// Source of an edit: a file that is chosen, dropped or pasted, or one of one's pictures. It is checked before it travels. The form
// is sent by a program, so that a refusal keeps the file.

const HEAD_BYTES = 256 * 1024;

const source = () => document.getElementById("source");

/** @param {string} message */
function tell(message) {
  const place = source()?.querySelector("[role=alert]");
  if (!(place instanceof HTMLElement)) return;
  place.textContent = message;
  place.hidden = message === "";
}

/**
 * Find what is wrong with a file, by its first bytes.
 * @param {File} file
 * @param {DOMStringMap} words
 */
async function fault(file, words) {
  if (file.size > Number(words.bytes)) return words.large ?? "";
  const head = new TextDecoder("latin1").decode(await file.slice(0, HEAD_BYTES).arrayBuffer());
  // "latin1" is read as windows-1252, where the byte 0x89 is U+2030.
  if (!/^(\u2030PNG\r\n|\u00ff\u00d8\u00ff|RIFF[^]{4}WEBP)/.test(head)) return words.type ?? "";
  return /\u00ff\u00e2[^]{2}MPF\0/.test(head) ? words.several ?? "" : "";
}

/**
 * Show a picture to paint on; `mask.js` listens.
 * @param {string} address
 */
function show(address) {
  source()?.dispatchEvent(new CustomEvent("picture", { bubbles: true, detail: address }));
}

/** @param {HTMLInputElement} input */
async function take(input) {
  const file = input.files?.[0];
  const place = source();
  if (file === undefined || place === null) return;
  const wrong = await fault(file, place.dataset);
  tell(wrong);
  if (wrong !== "") {
    input.value = "";
    show("");
    return;
  }
  for (const radio of place.querySelectorAll("[name=picture]")) /** @type {HTMLInputElement} */ (radio).checked = false;
  show(URL.createObjectURL(file));
}

/** @param {DataTransfer | null} data */
function give(data) {
  const input = document.getElementById("image");
  const file = [...(data?.files ?? [])][0];
  if (!(input instanceof HTMLInputElement) || file === undefined) return false;
  const moved = new DataTransfer();
  moved.items.add(file);
  input.files = moved.files;
  void take(input);
  return true;
}

document.addEventListener("change", (event) => {
  const field = event.target;
  if (!(field instanceof HTMLInputElement) || source() === null) return;
  if (field.id === "image") void take(field);
  if (field.name !== "picture") return;
  const input = document.getElementById("image");
  if (input instanceof HTMLInputElement) input.value = "";
  tell("");
  show(field.dataset.content ?? "");
});
document.addEventListener("paste", (event) => {
  if (source() !== null && give(event.clipboardData)) event.preventDefault();
});
document.addEventListener("dragover", (event) => {
  if (source() !== null) event.preventDefault();
});
document.addEventListener("drop", (event) => {
  if (source() === null) return;
  event.preventDefault();
  give(event.dataTransfer);
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || !(form instanceof HTMLFormElement) || form.dataset.send === undefined) return;
  event.preventDefault();
  void send(form);
});

/** @param {HTMLFormElement} form */
async function send(form) {
  form.classList.add("loading");
  try {
    const answer = await fetch(form.action, { method: "POST", body: new FormData(form) });
    if (answer.redirected) {
      location.assign(answer.url);
      return;
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const id of ["told", "token"]) {
      const found = page.getElementById(id);
      if (found !== null) document.getElementById(id)?.replaceWith(found);
    }
    document.getElementById("told")?.scrollIntoView({ block: "nearest" });
  } catch (error) {
    tell(String(error));
  }
  form.classList.remove("loading");
  form.removeAttribute("data-sent");
}

const chosen = document.querySelector("[name=picture]:checked");
if (chosen instanceof HTMLInputElement) setTimeout(() => show(chosen.dataset.content ?? ""));

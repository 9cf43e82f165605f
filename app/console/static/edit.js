// @ts-check
// Sources of an edit: files that are chosen, dropped or pasted, and pictures of one's own. Files are checked before they travel. The
// form is sent by a program, so that a refusal keeps them.

const HEAD_BYTES = 256 * 1024;

/** @type {File[]} */
const held = [];
/** @type {File | string} */
let shown = "";

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
  const bytes = [...held, file].reduce((sum, each) => sum + each.size, 0);
  if (bytes > Number(words.bytes)) return words.large ?? "";
  const head = new TextDecoder("latin1").decode(await file.slice(0, HEAD_BYTES).arrayBuffer());
  // "latin1" is read as windows-1252, where the byte 0x89 is U+2030.
  if (!/^(\u2030PNG\r\n|\u00ff\u00d8\u00ff|RIFF[^]{4}WEBP)/.test(head)) return words.type ?? "";
  return /\u00ff\u00e2[^]{2}MPF\0/.test(head) ? words.several ?? "" : "";
}

/** Open the first picture to paint on, unless it is open; `mask.js` listens. */
function show() {
  const chosen = source()?.querySelector("[name=picture]:checked");
  const first = held[0] ?? (chosen instanceof HTMLInputElement ? chosen.dataset.content ?? "" : "");
  if (first === shown) return;
  shown = first;
  const detail = typeof first === "string" ? first : URL.createObjectURL(first);
  source()?.dispatchEvent(new CustomEvent("picture", { bubbles: true, detail }));
}

/**
 * @param {File} file
 * @param {number} at
 */
function tile(file, at) {
  const [item, picture, button] = [document.createElement("li"), document.createElement("img"), document.createElement("button")];
  picture.src = URL.createObjectURL(file);
  picture.alt = file.name;
  button.type = "button";
  button.textContent = "✕";
  button.title = `${source()?.dataset.remove ?? ""}: ${file.name}`;
  button.addEventListener("click", () => {
    held.splice(at, 1);
    update();
  });
  item.append(picture, button);
  return item;
}

/** Put the files that are held into the form and into the tray. */
function update() {
  const [input, tray] = [document.getElementById("image"), document.getElementById("tray")];
  if (!(input instanceof HTMLInputElement) || tray === null) return;
  const moved = new DataTransfer();
  for (const file of held) moved.items.add(file);
  input.files = moved.files;
  tray.replaceChildren(...held.map(tile));
  tray.hidden = held.length === 0;
  show();
}

/** @param {Iterable<File>} files */
async function take(files) {
  let wrong = "";
  for (const file of files) {
    const found = await fault(file, source()?.dataset ?? {});
    if (found === "") held.push(file);
    else wrong = found;
  }
  tell(wrong);
  update();
}

document.addEventListener("change", (event) => {
  const field = event.target;
  if (!(field instanceof HTMLInputElement) || source() === null) return;
  if (field.id === "image") void take([...(field.files ?? [])]);
  if (field.name === "picture") show();
});
document.addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  if (source() === null || files.length === 0) return;
  event.preventDefault();
  void take(files);
});
document.addEventListener("dragover", (event) => {
  if (source() !== null) event.preventDefault();
});
document.addEventListener("drop", (event) => {
  if (source() === null) return;
  event.preventDefault();
  void take([...(event.dataTransfer?.files ?? [])]);
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
      location.assign(`${answer.url}#jobs`); // The address of an answer has lost its fragment.
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

// Files that the browser kept over a reload are taken again.
const kept = document.getElementById("image");
if (kept instanceof HTMLInputElement) setTimeout(() => void take([...(kept.files ?? [])]));

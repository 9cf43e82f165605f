// @ts-check
// Load a list again every five seconds while the button with `data-live`, the id of the list, is pressed. It stops in a hidden tab.

const EVERY_MS = 5000;
let timer = 0;

/** @returns {HTMLButtonElement | null} */
function button() {
  return document.querySelector("button[data-live]");
}

/** @param {boolean} isOn */
function set(isOn) {
  clearTimeout(timer);
  timer = isOn ? setTimeout(turn, EVERY_MS) : 0;
  button()?.setAttribute("aria-pressed", String(isOn));
}

async function turn() {
  const [id, address] = [button()?.dataset.live, location.href];
  if (id === undefined) return set(false);
  try {
    const answer = await fetch(address, { headers: { accept: "text/html" } });
    if (!answer.ok || answer.redirected) return set(false);
    const found = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(id);
    // Neither another page meanwhile, nor below the keyboard.
    if (found !== null && location.href === address && !document.getElementById(id)?.contains(document.activeElement)) {
      document.getElementById(id)?.replaceWith(found);
    }
  } catch {
    // The next turn tries again.
  }
  if (timer !== 0) set(true);
}

/** Show the button, which without this program does nothing, and keep it as it was after a swap. */
function show() {
  const found = button();
  if (found === null) return set(false);
  found.hidden = false;
  found.setAttribute("aria-pressed", String(timer !== 0));
}

document.addEventListener("click", (event) => {
  const pressed = event.target instanceof Element ? event.target.closest("button[data-live]") : null;
  if (pressed !== null) set(timer === 0);
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) set(false);
});
document.addEventListener("swapped", show);
show();

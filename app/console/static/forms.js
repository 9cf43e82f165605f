// @ts-check
// Send a form of a change once: a second click while the answer is under way does nothing.

document.addEventListener("submit", (event) => {
  const form = event.target;
  const button = event.submitter;
  const method = (button instanceof HTMLButtonElement && button.getAttribute("formmethod")) || (form instanceof HTMLFormElement && form.method);
  if (!(form instanceof HTMLFormElement) || method !== "post") return;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
});

addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) form.removeAttribute("data-sent");
});

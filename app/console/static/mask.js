// @ts-check
// Mask brush: strokes over the picture to edit. The mask is a PNG of the picture's exact size, transparent where it was painted.

/** @typedef {{ erases: boolean, width: number, points: number[][] }} Stroke */

/** @type {Stroke[]} */
let strokes = [];
/** @type {Stroke | null} */
let stroke = null;
let erases = false;

const place = () => document.getElementById("mask");
/** @returns {HTMLCanvasElement | null} */
const surface = () => place()?.querySelector("canvas") ?? null;

/** @param {string} address */
function open(address) {
  const box = place();
  const picture = box?.querySelector("img");
  const canvas = surface();
  if (!box || !picture || !canvas) return;
  strokes = [];
  box.hidden = address === "";
  if (address === "") return;
  picture.onload = () => {
    canvas.width = picture.naturalWidth;
    canvas.height = picture.naturalHeight;
    draw();
  };
  picture.src = address;
}

function draw() {
  const canvas = surface();
  const pen = canvas?.getContext("2d");
  if (!canvas || !pen) return;
  pen.globalCompositeOperation = "source-over";
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.lineCap = pen.lineJoin = "round";
  pen.strokeStyle = "#e5484d";
  for (const { erases: rubs, width, points } of stroke === null ? strokes : [...strokes, stroke]) {
    pen.globalCompositeOperation = rubs ? "destination-out" : "source-over";
    pen.lineWidth = width;
    pen.beginPath();
    points.forEach(([x = 0, y = 0], at) => (at === 0 ? pen.moveTo(x, y) : pen.lineTo(x, y)));
    if (points.length === 1) pen.lineTo(points[0]?.[0] ?? 0, points[0]?.[1] ?? 0);
    pen.stroke();
  }
}

/** @param {PointerEvent} event  @param {HTMLCanvasElement} canvas */
function point(event, canvas) {
  const box = canvas.getBoundingClientRect();
  return [((event.clientX - box.left) * canvas.width) / box.width, ((event.clientY - box.top) * canvas.height) / box.height];
}

document.addEventListener("picture", (event) => open(/** @type {CustomEvent<string>} */ (event).detail));

document.addEventListener("pointerdown", (event) => {
  const canvas = surface();
  if (canvas === null || event.target !== canvas || event.button !== 0) return;
  event.preventDefault();
  canvas.setPointerCapture(event.pointerId);
  const range = place()?.querySelector("input[type=range]");
  const share = range instanceof HTMLInputElement ? Number(range.value) / 100 : 0.08;
  stroke = { erases, width: share * Math.max(canvas.width, canvas.height), points: [point(event, canvas)] };
  draw();
});

document.addEventListener("pointermove", (event) => {
  const canvas = surface();
  if (stroke === null || canvas === null) return;
  stroke.points.push(point(event, canvas));
  draw();
});

for (const kind of ["pointerup", "pointercancel"]) {
  document.addEventListener(kind, () => {
    if (stroke !== null) strokes.push(stroke);
    stroke = null;
  });
}

document.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest("[data-tool]") : null;
  if (!(button instanceof HTMLElement)) return;
  if (button.dataset.tool === "undo") {
    strokes.pop();
    draw();
    return;
  }
  erases = !erases;
  button.setAttribute("aria-pressed", String(erases));
});

/** Bytes of the mask; null where nothing is painted. Made at once, because the form is about to be sent. */
function mask() {
  const canvas = surface();
  if (canvas === null || place()?.hidden !== false || strokes.length === 0) return null;
  const made = document.createElement("canvas");
  made.width = canvas.width;
  made.height = canvas.height;
  const pen = made.getContext("2d");
  if (pen === null) return null;
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, made.width, made.height);
  pen.globalCompositeOperation = "destination-out";
  pen.drawImage(canvas, 0, 0);
  const text = atob(made.toDataURL("image/png").split(",")[1] ?? "");
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

// Before the form is read for sending.
document.addEventListener(
  "submit",
  () => {
    const input = place()?.querySelector("[name=mask]");
    if (!(input instanceof HTMLInputElement)) return;
    const bytes = mask();
    const files = new DataTransfer();
    if (bytes !== null) files.items.add(new File([bytes], "mask.png", { type: "image/png" }));
    input.files = files.files;
  },
  true,
);

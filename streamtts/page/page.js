// What the widgets share in the page. assets.py puts this file in front of their own.

const RATE = 24000; // Hz, the sample rate of all audio here

/** Whether the page has a dark theme. JupyterLab says so itself; elsewhere the background colour decides. */
function isDark() {
  const { jpThemeLight } = document.body.dataset;
  if (jpThemeLight) return jpThemeLight === "false";
  const [r, g, b, alpha = 1] = (getComputedStyle(document.body).backgroundColor.match(/[\d.]+/g) ?? [255, 255, 255]).map(Number);
  return alpha > 0 && r + g + b < 3 * 100;
}

/** In JupyterLab, Enter and the arrow keys on these controls use them. Otherwise they would edit or leave the cell. */
function keepEnter(root) {
  const controls = "button, select, a, summary, [tabindex], input:not([type=text])";
  root.querySelectorAll(controls).forEach((control) => (control.dataset.lmSuppressShortcuts = "true"));
}

/**
 * Enter stays in this widget, with Shift and Ctrl, too. JupyterLab would run the cell, or cancel what the browser does: begin a new
 * line, take a typed number, send a form. It waits to do so from the keydown of Shift on.
 */
function ownEnter(root) {
  root.addEventListener("keydown", (event) => ["Enter", "Shift"].includes(event.key) && event.stopPropagation());
}

/** Disables or enables a button. The keyboard goes on at `next`: a button that is disabled loses it. */
function disable(button, disabled, next) {
  if (disabled && button === document.activeElement) next.focus({ preventScroll: true });
  button.disabled = disabled;
}

/** Copies a text; what happened, in words. The clipboard is for secure contexts only: elsewhere `element` shows it, selected. */
async function copyText(text, element) {
  try {
    await navigator.clipboard.writeText(text);
    return "Copied";
  } catch {
    element.textContent = text;
    getSelection().selectAllChildren(element);
    return "Press Ctrl+C";
  }
}

/** The samples of a binary message: 16-bit little-endian PCM in a DataView. */
function pcm16(view) {
  return new Int16Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

/** 16-bit samples as floats from -1 to 1. */
function toFloat(pcm) {
  return Float32Array.from(pcm, (value) => value / 32767);
}

/** An element of this tag with these properties and children: `element("button", { className: "x" }, "text")`. */
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const inMs = (value) => (value == null ? "–" : `${Math.round(value)} ms`);
const inSeconds = (samples, digits = 2) => (samples / RATE).toFixed(digits);

const KERNEL_GONE = "The kernel does not answer. It is busy with a cell, or it was restarted: then run the cells of this notebook again.";
const PING_MS = 5000; // at most this often
const PONG_MS = 3000; // after which the kernel counts as gone

/**
 * Asks the kernel behind a widget whether it is there when somebody comes to the widget. Calls `gone(true)` when there is
 * no answer, `gone(false)` when there is one again. Hosts do not tell widgets of a restart. Returns how to stop.
 */
function watchKernel(model, root, gone) {
  let asked = -PING_MS;
  let timer = 0;
  let lost = false;
  const tell = (now) => {
    if (now !== lost) gone((lost = now));
  };
  const ping = () => {
    if (performance.now() - asked < PING_MS) return;
    asked = performance.now();
    model.send({ type: "ping" });
    timer = setTimeout(() => tell(true), PONG_MS);
  };
  const pong = (message) => {
    if (message.type !== "pong") return;
    clearTimeout(timer);
    tell(false);
  };
  root.addEventListener("pointerenter", ping);
  root.addEventListener("focusin", ping);
  model.on("msg:custom", pong);
  return () => {
    clearTimeout(timer);
    model.off("msg:custom", pong);
  };
}

/** Calls `redraw` whenever the page changes between its light and dark theme. Returns how to stop. */
function onTheme(redraw) {
  const seen = new MutationObserver(redraw);
  seen.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-name", "data-jp-theme-light", "class"] });
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", redraw);
  return () => {
    seen.disconnect();
    system.removeEventListener("change", redraw);
  };
}

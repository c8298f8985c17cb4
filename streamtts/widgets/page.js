// What the widgets share in the page. assets.py puts this file in front of their own.

const RATE = 24000; // Hz, the sample rate of all audio here

/** Whether the page has a dark theme. JupyterLab says so itself; elsewhere the background colour decides. */
function isDark() {
  const { jpThemeLight } = document.body.dataset;
  if (jpThemeLight) return jpThemeLight === "false";
  const [r, g, b, alpha = 1] = (getComputedStyle(document.body).backgroundColor.match(/[\d.]+/g) ?? [255, 255, 255]).map(Number);
  return alpha > 0 && r + g + b < 3 * 100;
}

/** In JupyterLab, Enter on one of these buttons, lists or links uses it. Otherwise Enter would edit the cell. */
function keepEnter(root) {
  root.querySelectorAll("button, select, a").forEach((control) => (control.dataset.lmSuppressShortcuts = "true"));
}

/** The samples of a binary message: 16-bit little-endian PCM in a DataView. */
function pcm16(view) {
  return new Int16Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

/** 16-bit samples as floats from -1 to 1. */
function toFloat(pcm) {
  return Float32Array.from(pcm, (value) => value / 32767);
}

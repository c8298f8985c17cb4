// The crossfade experiment: sliders, three tracks that play in sync, and a zoom on every seam.
//
// The page sends "ready" and "mix" {number, crossfade_ms, shape}. The kernel answers with "track" {name, number, seams,
// decoded} and one buffer of 16-bit PCM, then "report" {name, number, rows, reason, null_db, log_mel_db}. One mix runs at
// a time. Meanwhile only the newest slider position is kept, so that dragging a slider never builds up a queue.

const ZOOM = 480; // samples before and after a seam: 20 ms
const TRACKS = [
  ["crossfade", "A  crossfade", "every chunk decoded alone, then joined by the crossfade set above"],
  ["window", "B  window", "the same tokens, every chunk decoded with context (policy window)"],
  ["oneshot", "one-shot", "the same tokens decoded in one pass, without any seam"],
];
const LIGHT = { paper: "#ffffff", ink: "#1a1a1a", faint: "#c8c8c8", track: "#0072b2", oneshot: "#e69f00", bad: "#d55e00" };
const DARK = { paper: "#111418", ink: "#e8e8e8", faint: "#4a4f57", track: "#56b4e9", oneshot: "#e69f00", bad: "#ff7b2e" };

/** Three buffers of one length that loop in sync. Switching fades for 5 ms, so that it does not click. */
class Deck {
  constructor() {
    this.context = null;
    this.buffers = {};
    this.playing = {}; // name -> {source, gain}
    this.selected = "crossfade";
    this.startedAt = 0;
  }

  get running() {
    return Object.keys(this.playing).length > 0;
  }

  /** Seconds into the loop. */
  get position() {
    const length = this.buffers.oneshot ? this.buffers.oneshot.length / RATE : 0;
    return this.running && length ? (Math.max(this.context.currentTime - this.startedAt, 0)) % length : 0;
  }

  load(name, samples) {
    this.buffers[name] = samples;
    if (this.running) this.begin(name, this.position);
  }

  /** Call it inside the click handler: browsers let a page start audio only there. */
  play() {
    this.context ??= new AudioContext({ sampleRate: RATE });
    this.context.resume();
    this.startedAt = this.context.currentTime;
    for (const name of Object.keys(this.buffers)) this.begin(name, 0);
  }

  begin(name, offset) {
    const { context } = this;
    const buffer = context.createBuffer(1, this.buffers[name].length, RATE);
    buffer.copyToChannel(this.buffers[name], 0);
    const source = new AudioBufferSourceNode(context, { buffer, loop: true });
    const gain = new GainNode(context, { gain: 0 });
    source.connect(gain).connect(context.destination);
    source.start(context.currentTime, offset % buffer.duration);
    this.fade(gain, name === this.selected ? 1 : 0);
    const before = this.playing[name];
    if (before) {
      this.fade(before.gain, 0);
      before.source.stop(context.currentTime + 0.05);
    }
    this.playing[name] = { source, gain };
  }

  fade(gain, target) {
    gain.gain.setTargetAtTime(target, this.context.currentTime, 0.005);
  }

  select(name) {
    this.selected = name;
    for (const [other, { gain }] of Object.entries(this.playing)) this.fade(gain, other === name ? 1 : 0);
  }

  stop() {
    for (const { source } of Object.values(this.playing)) source.stop();
    this.playing = {};
  }

  close() {
    this.stop();
    this.context?.close();
  }
}

/** Controls, tracks and drawings of one view. */
class CrossfadeView {
  constructor(model, root) {
    this.model = model;
    this.root = root;
    this.deck = new Deck();
    this.seams = { crossfade: [], window: [], oneshot: [] };
    this.reports = {};
    this.number = 0;
    this.busy = false;
    this.waiting = null;
    this.build();
    this.onMessage = (message, buffers) => this.receive(message, buffers);
    model.on("msg:custom", this.onMessage);
    model.send({ type: "ready" });
    this.frame = requestAnimationFrame(() => this.tick());
    this.offTheme = onTheme(() => setTimeout(() => this.draw(), 100)); // after the new style sheet is in use
    this.onEscape = ({ key }) => key === "Escape" && this.deck.running && this.toggle();
    document.addEventListener("keydown", this.onEscape, true);
    this.resized = new ResizeObserver(() => this.draw());
    this.resized.observe(this.root);
  }

  build() {
    const { model } = this;
    this.length = element("input", { type: "range", min: 0, max: 200, step: 5, value: model.get("crossfade_ms"), ariaLabel: "crossfade length (ms)" });
    this.shape = element("select", { ariaLabel: "crossfade shape" });
    for (const shape of ["linear", "equal_power", "hann"]) this.shape.append(element("option", { value: shape, textContent: shape }));
    this.shape.value = model.get("crossfade_shape");
    this.value = element("output", { textContent: `${this.length.value} ms` });
    this.playButton = element("button", { textContent: "▶ Play", className: "lab-play", disabled: true });
    this.buttons = TRACKS.map(([name, label, title]) => element("button", { textContent: label, title, ariaPressed: name === "crossfade", disabled: true, onclick: () => this.select(name) }));
    this.buttons.forEach((button, k) => (button.dataset.track = TRACKS[k][0]));
    this.status = element("div", { className: "lab-status", role: "status" });
    this.verdict = element("div", { className: "lab-verdict" });
    this.overview = element("canvas", { className: "lab-overview" });
    this.zooms = element("canvas", { className: "lab-zooms" });
    this.key = element("div", { className: "lab-key" });
    const moved = () => this.ask();
    this.length.oninput = this.shape.onchange = moved;
    this.playButton.onclick = () => this.toggle();
    this.root.classList.add("streamtts-lab");
    this.root.append(
      element("div", { className: "lab-row" }, element("label", {}, "crossfade ", this.length, this.value), element("label", {}, "shape ", this.shape)),
      element("div", { className: "lab-row" }, this.playButton, ...this.buttons),
      this.status, this.verdict, this.overview, this.key, this.zooms,
    );
    keepEnter(this.root);
    ownEnter(this.root);
  }

  /** Sends the newest slider position as soon as the previous one is answered. */
  ask() {
    this.value.textContent = `${this.length.value} ms`;
    const wanted = { crossfade_ms: Number(this.length.value), shape: this.shape.value, moved: performance.now() };
    if (this.busy) this.waiting = wanted;
    else this.sendMix(wanted);
  }

  sendMix({ crossfade_ms, shape, moved }) {
    this.busy = true;
    this.moved = moved;
    this.number += 1;
    this.model.send({ type: "mix", number: this.number, crossfade_ms, shape });
  }

  receive(message, buffers) {
    if (message.type === "track") this.track(message, buffers[0]);
    else if (message.type === "report") {
      this.reports[message.name] = message;
      this.draw();
    } else if (message.type === "status") this.status.textContent = message.text;
  }

  track({ name, number, seams, decoded }, view) {
    this.seams[name] = seams;
    delete this.reports[name];
    this.deck.load(name, toFloat(pcm16(view)));
    this.buttons.find((b) => b.dataset.track === name).disabled = false;
    this.playButton.disabled = !this.deck.buffers.oneshot || !this.deck.buffers.crossfade;
    this.draw();
    if (name === "crossfade" && number === this.number && this.busy) this.answered(decoded);
  }

  answered(decoded) {
    const ms = performance.now() - this.moved;
    this.root.dataset.redrawMs = ms.toFixed(1);
    this.root.dataset.answered = this.number;
    this.status.textContent = `Updated ${ms.toFixed(0)} ms after the slider moved; ${decoded ? "the chunks were decoded again, with a longer overlap" : "nothing was decoded again"}.`;
    this.busy = false;
    const next = this.waiting;
    this.waiting = null;
    if (next) this.sendMix(next);
  }

  select(name) {
    this.deck.select(name);
    for (const button of this.buttons) button.ariaPressed = button.dataset.track === name;
    this.draw();
  }

  toggle() {
    if (this.deck.running) this.deck.stop();
    else this.deck.play();
    this.playButton.textContent = this.deck.running ? "■ Stop" : "▶ Play";
  }

  tick() {
    if (this.deck.running) this.drawOverview();
    this.frame = requestAnimationFrame(() => this.tick());
  }

  // ---- drawing ----------------------------------------------------------------------------------------------------

  /** A canvas of `height` CSS pixels, sharp on any screen. */
  surface(canvas, height) {
    const width = this.root.clientWidth || 900;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    canvas.style.height = `${height}px`;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const look = isDark() ? DARK : LIGHT;
    pen.fillStyle = look.paper;
    pen.fillRect(0, 0, width, height);
    pen.font = "12px system-ui, sans-serif";
    return { pen, width, height, look };
  }

  audible(name) {
    return new Set((this.reports[name]?.rows ?? []).filter((row) => row.audible).map((row) => row.sample));
  }

  draw() {
    this.drawOverview();
    this.drawZooms();
    this.drawVerdict();
  }

  drawVerdict() {
    const name = this.deck.selected;
    const report = this.reports[name];
    const label = TRACKS.find(([track]) => track === name)[1];
    const number = (v, unit) => (v === null || v === undefined ? "not measured" : `${v.toFixed(1)} ${unit}`);
    this.verdict.textContent = report
      ? `${label}: ${report.sentence} Null test ${number(report.null_db, "dB")}, log-mel distance ${number(report.log_mel_db, "dB")}`
      : `${label}: measuring …`;
    this.root.dataset.verdict = report?.verdict ?? "";
  }

  drawOverview() {
    const { pen, width, height, look } = this.surface(this.overview, 90);
    const samples = this.deck.buffers[this.deck.selected];
    if (!samples) return;
    const peak = this.peak();
    const bad = this.audible(this.deck.selected);
    pen.fillStyle = look.track;
    for (let x = 0; x < width; x++) {
      let low = 0;
      let high = 0;
      const stop = Math.floor(((x + 1) * samples.length) / width);
      for (let i = Math.floor((x * samples.length) / width); i < stop; i++) {
        low = Math.min(low, samples[i]);
        high = Math.max(high, samples[i]);
      }
      pen.fillRect(x, height / 2 - (high / peak) * 38, 1, Math.max(1, ((high - low) / peak) * 38));
    }
    for (const seam of this.seams[this.deck.selected]) {
      const x = (seam / samples.length) * width;
      pen.strokeStyle = pen.fillStyle = bad.has(seam) ? look.bad : look.faint;
      pen.setLineDash(bad.has(seam) ? [] : [3, 3]);
      pen.lineWidth = 1.5;
      pen.beginPath();
      pen.moveTo(x, 0);
      pen.lineTo(x, height);
      pen.stroke();
      if (bad.has(seam)) {
        pen.beginPath();
        pen.moveTo(x - 5, 0);
        pen.lineTo(x + 5, 0);
        pen.lineTo(x, 8);
        pen.fill();
      }
    }
    pen.setLineDash([]);
    if (this.deck.running) {
      pen.fillStyle = look.ink;
      pen.fillRect(((this.deck.position * RATE) / samples.length) * width, 0, 1.5, height);
    }
  }

  /** One amplitude scale for all tracks, so that they can be compared. */
  peak() {
    let peak = 0.01;
    for (const value of this.deck.buffers.oneshot ?? []) peak = Math.max(peak, Math.abs(value));
    return peak * 1.05;
  }

  drawZooms() {
    const name = this.deck.selected;
    const seams = (name === "oneshot" ? this.seams.crossfade : this.seams[name]).slice(0, 12);
    const columns = Math.max(1, Math.min(4, Math.floor((this.root.clientWidth || 900) / 225))); // room for the titles
    const rows = Math.max(1, Math.ceil(seams.length / columns));
    const { pen, width, height, look } = this.surface(this.zooms, rows * 150 + 20);
    const rowsOf = new Map((this.reports[name]?.rows ?? []).map((row) => [row.sample, row]));
    const cell = width / columns;
    this.root.dataset.zooms = seams.length;
    seams.forEach((seam, k) => {
      const box = { x: (k % columns) * cell + 8, y: Math.floor(k / columns) * 150 + 20, w: cell - 16, h: 112 };
      const row = rowsOf.get(seam);
      this.drawZoom(pen, look, box, seam, row?.audible ?? false);
      pen.fillStyle = row?.audible ? look.bad : look.ink;
      const step = row?.click == null ? "" : ` · click ${row.click.toFixed(1)}×`;
      const words = row ? (row.audible ? " · stands out" : row.audible === null ? " · not measured" : "") : "";
      pen.fillText(`${(seam / RATE).toFixed(2)} s${step}${words}`, box.x, box.y - 5);
    });
    pen.fillStyle = look.ink;
    if (!seams.length) pen.fillText("no seams", 8, 20);
    const ends = name === "oneshot" ? "one-shot, at the seams of A" : "thin blue: this track · wide orange: one-shot";
    this.key.textContent = `20 ms before and after each seam · ${ends} · one amplitude scale · click: the step against the usual one (×)${this.seams[name].length > 12 ? " · first 12 seams" : ""}`;
  }

  drawZoom(pen, look, box, seam, bad) {
    const peak = this.peak();
    const { oneshot } = this.deck.buffers;
    const track = this.deck.buffers[this.deck.selected];
    pen.strokeStyle = look.faint;
    pen.lineWidth = 1;
    pen.strokeRect(box.x, box.y, box.w, box.h);
    pen.strokeStyle = bad ? look.bad : look.faint;
    pen.setLineDash(bad ? [] : [3, 3]);
    pen.beginPath();
    pen.moveTo(box.x + box.w / 2, box.y);
    pen.lineTo(box.x + box.w / 2, box.y + box.h);
    pen.stroke();
    pen.setLineDash([]);
    pen.save();
    pen.beginPath();
    pen.rect(box.x, box.y, box.w, box.h);
    pen.clip();
    for (const [samples, colour, weight] of [[oneshot, look.oneshot, 3], [track, look.track, 1.2]]) {
      if (!samples || (samples === oneshot && weight === 1.2)) continue;
      pen.strokeStyle = colour;
      pen.lineWidth = weight;
      pen.beginPath();
      for (let i = -ZOOM; i <= ZOOM; i++) {
        const value = samples[seam + i];
        if (value !== undefined) pen.lineTo(box.x + ((i + ZOOM) / (2 * ZOOM)) * box.w, box.y + box.h / 2 - (value / peak) * (box.h / 2));
      }
      pen.stroke();
    }
    pen.restore();
    pen.fillStyle = look.ink;
    pen.fillText("−20", box.x, box.y + box.h + 13);
    pen.fillText("0", box.x + box.w / 2 - 3, box.y + box.h + 13);
    pen.fillText("+20 ms", box.x + box.w - pen.measureText("+20 ms").width, box.y + box.h + 13);
  }

  close() {
    cancelAnimationFrame(this.frame);
    this.offTheme();
    this.resized.disconnect();
    document.removeEventListener("keydown", this.onEscape, true);
    this.model.off("msg:custom", this.onMessage);
    this.deck.close();
  }
}

function render({ model, el }) {
  const view = new CrossfadeView(model, el);
  return () => view.close();
}

export default { render };

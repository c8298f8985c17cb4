// The shown take over time: waveform and spectrogram, time axis, seams, words, selection and playhead.

const DRAG_PX = 4; // a press that moves less is a click

const PLOT = `
  <div class="plot">
    <canvas class="wave" tabindex="0" role="slider" aria-label="Play position" aria-valuemin="0"></canvas>
    <div class="played"></div><div class="region" hidden></div><div class="playhead" hidden></div>
  </div>
  <div class="words" role="toolbar" aria-label="Words: play from one, with Shift repeat it" hidden></div>
  <div class="row tools">
    <button class="toggle" title="Play or pause (Space, on the waveform)" disabled>Play</button>
    <span class="group" role="group" aria-label="Zoom">
      <button class="zoom-in" title="Zoom in around the play position (+)" aria-label="Zoom in">+</button>
      <button class="zoom-out" title="Zoom out (-)" aria-label="Zoom out">−</button>
      <button class="zoom-all" title="Show all of it (0)">All</button>
      <button class="zoom-region" title="Zoom to the selection (z)" disabled>Selection</button>
    </span>
    <label title="Repeat the selection (l)"><input type="checkbox" class="looping" checked> loop</label>
    <button class="clear" title="Select nothing" disabled>Clear selection</button>
    <label>show <select class="plots"><option value="wave">waveform</option><option value="spectrum">spectrogram</option><option value="both">both</option></select></label>
    <span class="where"></span>
    <button class="keys" aria-expanded="false" title="Keys">Keys</button>
  </div>
  <p class="keys-help" hidden>On the waveform: <kbd>Space</kbd> play or pause · <kbd>←</kbd> <kbd>→</kbd> 0.1 s (with <kbd>Shift</kbd> 1 s) ·
    <kbd>n</kbd> <kbd>p</kbd> next and previous seam · <kbd>[</kbd> <kbd>]</kbd> selection from and to here · <kbd>l</kbd> loop · <kbd>+</kbd> <kbd>-</kbd> <kbd>0</kbd> zoom ·
    <kbd>x</kbd> A/B. On a word: <kbd>Enter</kbd> plays from it, <kbd>Shift</kbd>+<kbd>Enter</kbd> repeats it, <kbd>←</kbd> <kbd>→</kbd> next word. Anywhere: <kbd>Esc</kbd> stops, <kbd>Ctrl</kbd>+<kbd>Enter</kbd> speaks. With the mouse: click to go there, drag to select,
    <kbd>Shift</kbd>+click on a word repeats it, <kbd>Ctrl</kbd>+wheel zooms.</p>
`;

class Waveform {
  constructor(player, root) {
    this.player = player;
    this.root = root;
    root.innerHTML = PLOT;
    this.canvas = this.$("wave");
    this.plot = new Plot(this.canvas);
    this.words = new WordRow(player, this.$("words"), this.plot);
    this.connect();
  }

  $(name) {
    return this.root.querySelector(`.${name}`);
  }

  connect() {
    const { player } = this;
    const click = (name, act) => (this.$(name).onclick = act);
    click("toggle", () => player.toggle());
    click("zoom-in", () => this.zoom(0.5));
    click("zoom-out", () => this.zoom(2));
    click("zoom-all", () => this.look(null));
    click("zoom-region", () => this.look(player.region));
    click("clear", () => player.setRegion(null));
    click("keys", () => {
      const help = this.$("keys-help");
      help.hidden = !help.hidden;
      this.$("keys").ariaExpanded = String(!help.hidden);
    });
    this.$("looping").onchange = () => player.setRegion(player.region, this.$("looping").checked);
    this.$("plots").onchange = () => {
      this.canvas.dataset.plots = this.$("plots").value;
      this.show();
    };
    this.canvas.onkeydown = (event) => this.key(event);
    this.canvas.onpointerdown = (event) => this.press(event);
    this.canvas.onpointermove = (event) => (this.$("where").textContent = this.describe(this.sampleAt(event)));
    this.canvas.onpointerleave = () => (this.$("where").textContent = "");
    this.canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  // ---- samples and pixels -------------------------------------------------------------------------------------------

  sampleAt({ clientX }) {
    const { left, width } = this.canvas.getBoundingClientRect();
    const [from, to] = this.plot.range;
    const sample = from + ((clientX - left) / width) * (to - from);
    return Math.round(Math.max(0, Math.min(sample, this.player.take?.samples ?? 0)));
  }

  look(view) {
    const samples = this.player.take?.samples ?? 0;
    if (view) {
      const length = Math.max(RATE / 50, view[1] - view[0]); // 20 ms
      const from = Math.max(0, Math.min(view[0], samples - length));
      view = length < samples ? [from, from + length] : null;
    }
    this.plot.view = view;
    this.show();
  }

  /** Shows `factor` times as much around the play position, or around `centre`. */
  zoom(factor, centre = this.player.position) {
    const [from, to] = this.plot.range;
    const share = centre >= from && centre <= to ? (centre - from) / (to - from) : 0.5;
    const length = (to - from) * factor;
    const middle = from + share * (to - from);
    this.look([middle - share * length, middle + (1 - share) * length]);
  }

  // ---- mouse and keys -----------------------------------------------------------------------------------------------

  press(event) {
    if (event.button || !this.player.take) return;
    const { canvas, player } = this;
    canvas.focus({ preventScroll: true });
    const [start, x] = [this.sampleAt(event), event.clientX];
    let dragged = false;
    canvas.setPointerCapture(event.pointerId);
    const move = (moved) => {
      dragged ||= Math.abs(moved.clientX - x) > DRAG_PX;
      const here = this.sampleAt(moved);
      if (dragged && here !== start) player.setRegion([Math.min(start, here), Math.max(start, here)]);
    };
    canvas.addEventListener("pointermove", move);
    canvas.onlostpointercapture = () => {
      canvas.removeEventListener("pointermove", move);
      if (dragged && player.region) player.seek(player.region[0]);
      if (dragged) return;
      const { region } = player;
      if (region && (start < region[0] || start > region[1])) player.setRegion(null);
      player.seek(start);
    };
  }

  wheel(event) {
    const [from, to] = this.plot.range;
    if (event.ctrlKey) this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.sampleAt(event));
    else if (this.plot.view && (event.shiftKey || event.deltaX)) {
      const by = ((event.deltaX || event.deltaY) / this.canvas.clientWidth) * (to - from);
      this.look([from + by, to + by]);
    } else return; // the page scrolls
    event.preventDefault();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { player } = this;
    const { position, region, take } = player;
    const step = (event.shiftKey ? 1 : 0.1) * RATE;
    const end = take?.samples ?? 0;
    const does = {
      " ": () => player.toggle(),
      ArrowLeft: () => player.seek(position - step),
      ArrowRight: () => player.seek(position + step),
      Home: () => player.seek(0),
      End: () => player.seek(end),
      n: () => player.seek(take?.seams.find((seam) => seam > position + 1) ?? position),
      p: () => player.seek(take?.seams.findLast((seam) => seam < position - 1) ?? 0),
      "[": () => player.setRegion([position, Math.max(region?.[1] ?? end, position + 1)]),
      "]": () => player.setRegion([Math.min(region?.[0] ?? 0, position - 1), position]),
      l: () => player.setRegion(region, !player.looping),
      "+": () => this.zoom(0.5),
      "-": () => this.zoom(2),
      0: () => this.look(null),
      z: () => region && this.look(region),
      x: () => player.compare(),
    }[event.key];
    if (!does) return;
    does();
    event.preventDefault();
    event.stopPropagation(); // not also a command of the notebook
  }

  describe(sample) {
    const { take } = this.player;
    const near = (at) => Math.abs(this.plot.x(at) - this.plot.x(sample)) < 5;
    const place = take?.verdict?.places.find((entry) => near(entry.sample));
    const seam = take?.seams.find(near);
    const what = place ? `: ${place.what}` : seam === undefined ? "" : `: seam at ${inSeconds(seam, 3)} s`;
    return `${inSeconds(sample, 3)} s${what}`;
  }

  // ---- drawing ------------------------------------------------------------------------------------------------------

  show() {
    const { player, canvas, plot } = this;
    const { take, region } = player;
    this.follow();
    plot.show(take, this.$("plots").value);
    this.words.show();
    this.place(this.$("region"), region && plot.x(region[0]), region && plot.x(region[1]));
    this.$("toggle").disabled = !take?.samples || Boolean(player.clipReason);
    this.$("toggle").textContent = player.playing && player.sounding === take ? "Pause" : "Play";
    for (const name of ["zoom-region", "clear"]) disable(this.$(name), !region, canvas);
    this.$("looping").checked = player.looping;
    canvas.ariaValueMax = inSeconds(take?.samples ?? 0);
    this.moveHead();
  }

  /** The playhead alone, as often as the screen is drawn: it is an element of its own over the canvas. */
  moveHead() {
    const { player, canvas } = this;
    const { position, take } = player;
    const x = this.plot.x(position);
    this.$("playhead").hidden = !take?.samples || x < 0 || x > canvas.clientWidth;
    this.$("playhead").style.left = `${x}px`;
    this.place(this.$("played"), Math.max(0, this.plot.x(0)), x);
    const now = inSeconds(position);
    if (canvas.ariaValueNow !== now && (!player.playing || Math.abs(now - canvas.ariaValueNow) >= 1)) {
      canvas.ariaValueNow = now; // while it plays once a second, since a screen reader may say every change
      canvas.ariaValueText = `${now} of ${inSeconds(take?.samples ?? 0)} seconds`;
    }
    const spoken = position > 0 ? take?.words.findLastIndex((word) => word.start <= position) : -1;
    this.words.mark(spoken);
    return player.playing;
  }

  place(box, left, right) {
    const width = this.canvas.clientWidth;
    box.hidden = left == null || right <= 0 || left >= width || right <= left;
    box.style.left = `${Math.max(0, left)}px`;
    box.style.width = `${Math.max(1, Math.min(width, right) - Math.max(0, left))}px`;
  }

  /** A zoomed view moves on with the sound. */
  follow() {
    if (!this.plot.view || !this.player.playing || this.player.sounding !== this.player.take) return;
    const [from, to] = this.plot.view;
    const { position, region, looping } = this.player;
    if ((position < from || position > to) && !(region && looping)) this.look([position, position + to - from]);
  }
}

// Draws the visible part of a take on a canvas: waveform, spectrogram, time axis, seams and places with a fault.

const AXIS_PX = 22; // height of the time axis
const GAP_PX = 4; // between waveform and spectrogram
const STEPS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120]; // s between marks of the axis

class Plot {
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d");
    this.take = null;
    this.view = null; // [from, to] in samples; null: all
    this.drawn = ""; // what the canvas shows, to draw only what has changed
    this.flat = null; // all samples of the take, joined when they are needed
  }

  get range() {
    const total = Math.max(this.take?.samples ?? 0, RATE * 2); // the first samples do not fill the whole width
    return this.view ?? [0, total];
  }

  x(sample) {
    const [from, to] = this.range;
    return ((sample - from) / (to - from)) * this.canvas.clientWidth;
  }

  /** Draws this take, if it, the view or the canvas have changed. `plots`: wave, spectrum or both. */
  show(take, plots) {
    if (take !== this.take) this.flat = null;
    this.take = take;
    if (this.view && this.view[1] > Math.max(take?.samples ?? 0, RATE * 2)) this.view = null;
    const { canvas } = this;
    const { clientWidth: width, clientHeight: height } = canvas;
    const scale = window.devicePixelRatio || 1;
    const content = [take?.id, take?.samples, take?.seams.length, take?.verdict?.places.length];
    const key = String([...content, this.range, width, height, scale, plots, this.colour("--wave"), this.colour("--paper")]);
    if (!width || key === this.drawn) return;
    this.drawn = key;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    this.pen.setTransform(scale, 0, 0, scale, 0, 0);
    const inner = height - AXIS_PX;
    const half = (inner - GAP_PX) / 2;
    if (plots !== "spectrum") this.drawWave(0, plots === "both" ? half : inner, width);
    if (plots !== "wave") this.drawSpectrum(plots === "both" ? half + GAP_PX : 0, plots === "both" ? half : inner, width);
    this.drawAxis(width, inner);
    this.drawSeams(inner);
  }

  colour(name) {
    return getComputedStyle(this.canvas).getPropertyValue(name);
  }

  /** For a close zoom, and for the spectrogram. */
  get samples() {
    if (this.flat?.length !== this.take.samples) this.flat = this.take.float();
    return this.flat;
  }

  drawWave(top, height, width) {
    const { take } = this;
    if (!take?.samples) return;
    const [from, to] = this.range;
    const perPixel = (to - from) / width;
    const close = perPixel < 2 * BUCKET;
    const samples = close ? this.samples : null;
    const loudest = take.peaks.reduce((most, [low, high]) => Math.max(most, high, -low), 0.1);
    const middle = top + height / 2;
    const scale = (height / 2) * 0.94;
    this.pen.fillStyle = this.colour("--wave");
    for (let x = 0; x < width; x++) {
      const first = from + x * perPixel;
      if (first >= take.samples) break;
      let [low, high] = [Infinity, -Infinity];
      if (close) {
        const last = Math.max(first + 1, first + perPixel + 1); // one more, so that the columns meet
        for (let i = Math.floor(first); i < last && i < samples.length; i++) {
          low = Math.min(low, samples[i]);
          high = Math.max(high, samples[i]);
        }
      } else {
        const last = Math.max(Math.floor(first / BUCKET) + 1, Math.floor((first + perPixel) / BUCKET));
        for (let i = Math.floor(first / BUCKET); i < last && i < take.peaks.length; i++) {
          low = Math.min(low, take.peaks[i][0]);
          high = Math.max(high, take.peaks[i][1]);
        }
      }
      if (high < low) continue;
      this.pen.fillRect(x, middle - (high / loudest) * scale, 1, Math.max(1, ((high - low) / loudest) * scale));
    }
  }

  drawSpectrum(top, height, width) {
    const { take } = this;
    if (!take?.samples) return;
    const { pen } = this;
    pen.drawImage(spectrogram(this.samples, ...this.range, Math.round(width), Math.round(height)), 0, top, width, height);
    pen.font = "11px system-ui, sans-serif";
    pen.fillStyle = "#fff";
    pen.textBaseline = "middle";
    for (const khz of [2, 4, 6]) pen.fillText(`${khz} kHz`, 4, top + height * (1 - (khz * 1000) / TOP_HZ));
  }

  drawAxis(width, y) {
    const { pen } = this;
    const [from, to] = this.range.map((sample) => sample / RATE);
    const step = STEPS.find((seconds) => (seconds / (to - from)) * width >= 56) ?? STEPS.at(-1);
    const digits = step < 0.1 ? 2 : step < 1 ? 1 : 0;
    pen.fillStyle = this.colour("--faint");
    pen.font = "11px system-ui, sans-serif";
    pen.textBaseline = "top";
    pen.fillRect(0, y, width, 1);
    let free = 0; // where the next label may begin
    for (let n = Math.ceil(from / step); n * step <= to; n++) {
      const x = this.x(n * step * RATE);
      pen.fillRect(x, y, 1, 5);
      const label = `${(n * step).toFixed(digits)} s`;
      const size = pen.measureText(label).width;
      const at = Math.min(x + 3, width - size);
      if (at < free) continue; // the last one, moved in from the edge
      pen.fillText(label, at, y + 6);
      free = at + size + 6;
    }
  }

  drawSeams(height) {
    const { pen, take } = this;
    const line = (sample) => {
      const x = Math.round(this.x(sample)) + 0.5;
      pen.moveTo(x, 0);
      pen.lineTo(x, height);
    };
    pen.strokeStyle = this.colour("--wave-seam");
    pen.setLineDash([3, 3]);
    pen.beginPath();
    take?.seams.forEach(line);
    pen.stroke();
    pen.setLineDash([]);
    pen.strokeStyle = this.colour("--bad");
    pen.lineWidth = 2;
    pen.beginPath();
    take?.verdict?.places.forEach(({ sample }) => line(sample));
    pen.stroke();
    pen.lineWidth = 1;
  }
}

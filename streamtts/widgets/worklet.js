// The audio thread's part of the player: a ring buffer of samples at the stream's rate, read by the audio clock.
// Notebook panel and the server's demo page use the same file.
//
// Messages in:  {type: "begin", utterance, prebuffer}   samples to buffer before playback starts
//               {type: "audio", samples: Float32Array}
//               {type: "end"}                           no more audio for this utterance
//               {type: "stop"}                          fade out and drop the rest
// Messages out: {type: "report", utterance, state, played, buffered, underruns, silence}   in source samples
//               {type: "first", utterance, time}        the context time at which the first sample leaves
//
// Where the context runs at the stream's own rate, samples pass through unchanged and the browser resamples for the
// device. Otherwise they are resampled here with a windowed sinc whose position continues across chunks, so a chunk
// boundary leaves no trace.

const REPORT_SECONDS = 0.05;
const FADE_FRAMES = 256; // about 10 ms at 24 kHz: long enough that Stop does not click
const ZERO_CROSSINGS = 16; // of the resampling filter, on each side
const TABLE_STEPS = 512; // filter values stored per input sample, read with linear interpolation

/** One side of a windowed sinc with its cutoff at `cutoff` times the input's Nyquist frequency. */
function sincTable(cutoff, half) {
  const table = new Float32Array(half * TABLE_STEPS + 2);
  for (let i = 0; i < half * TABLE_STEPS; i++) {
    const distance = i / TABLE_STEPS; // input samples
    const x = Math.PI * cutoff * distance;
    const position = distance / half;
    const blackman = 0.42 + 0.5 * Math.cos(Math.PI * position) + 0.08 * Math.cos(2 * Math.PI * position);
    table[i] = cutoff * (i ? Math.sin(x) / x : 1) * blackman;
  }
  return table;
}

class StreamPlayer extends AudioWorkletProcessor {
  constructor({ processorOptions: { rate } }) {
    super(); // `rate` is the stream's, in Hz
    this.step = rate / sampleRate; // input samples per output frame
    const cutoff = Math.min(1, 1 / this.step); // a slower device must not alias
    this.half = this.step === 1 ? 0 : Math.ceil(ZERO_CROSSINGS / cutoff);
    this.table = this.half ? sincTable(cutoff, this.half) : null;
    this.ring = new Float32Array(1 << 17); // 5 s at 24 kHz; doubles when an utterance runs further ahead
    this.tail = null; // the faded-out frames of the utterance that was stopped
    this.reportIn = 0;
    this.reset(null, 0);
    this.port.onmessage = ({ data }) => this.receive(data);
  }

  reset(utterance, prebuffer) {
    this.utterance = utterance;
    this.prebuffer = Math.max(prebuffer, this.half + 1); // samples
    this.written = 0; // absolute samples received
    this.position = 0; // absolute sample, fractional when resampling, of the next output frame
    this.ended = false;
    this.underruns = 0;
    this.silence = 0; // frames of silence those underruns cost
    this.state = utterance === null ? "idle" : "filling";
  }

  receive(message) {
    switch (message.type) {
      case "begin":
        this.release();
        this.reset(message.utterance, message.prebuffer);
        break;
      case "audio":
        this.write(message.samples);
        break;
      case "end":
        this.ended = true;
        break;
      case "stop":
        this.release();
        this.reset(null, 0);
        break;
    }
    this.reportIn = 0;
  }

  /** Renders a last short piece that fades out; it is mixed with the audio that follows. */
  release() {
    if (this.state !== "playing") return;
    const tail = new Float32Array(FADE_FRAMES);
    this.render(tail);
    for (let i = 0; i < FADE_FRAMES; i++) tail[i] *= 1 - i / FADE_FRAMES;
    this.tail = { samples: tail, next: 0 };
  }

  write(samples) {
    const oldest = Math.max(0, Math.floor(this.position) - this.half); // the resampling filter still reads from here
    while (this.written + samples.length - oldest > this.ring.length) {
      const grown = new Float32Array(this.ring.length * 2);
      for (let i = oldest; i < this.written; i++) grown[i & (grown.length - 1)] = this.ring[i & (this.ring.length - 1)];
      this.ring = grown;
    }
    const mask = this.ring.length - 1;
    for (let i = 0; i < samples.length; i++) this.ring[(this.written + i) & mask] = samples[i];
    this.written += samples.length;
  }

  /** The stream at one (fractional) absolute position; before its start and after its end it is silent. */
  at(position) {
    const mask = this.ring.length - 1;
    const whole = Math.floor(position);
    if (!this.half) return this.ring[whole & mask];
    const first = Math.max(0, whole - this.half + 1);
    const last = Math.min(this.written - 1, whole + this.half);
    let sum = 0;
    for (let i = first; i <= last; i++) {
      const at = Math.abs(position - i) * TABLE_STEPS;
      const low = Math.floor(at);
      const weight = this.table[low] + (at - low) * (this.table[low + 1] - this.table[low]);
      sum += this.ring[i & mask] * weight;
    }
    return sum;
  }

  /** Fills `out` from the ring; returns the number of frames written. */
  render(out) {
    const end = this.ended ? this.written : this.written - this.half;
    let n = 0;
    for (; n < out.length && this.position < end; n++) {
      out[n] = this.at(this.position);
      this.position += this.step;
    }
    return n;
  }

  process(_inputs, outputs) {
    const out = outputs[0][0];
    if (this.state === "filling" && this.written > 0 && (this.ended || this.written - this.position >= this.prebuffer)) {
      this.state = "playing";
      if (this.position === 0) this.port.postMessage({ type: "first", utterance: this.utterance, time: currentTime });
      this.reportIn = 0;
    } else if (this.state === "filling" && this.ended && this.written === 0) {
      this.state = "finished"; // an utterance without audio
    } else if (this.state === "filling" && this.position > 0) {
      this.silence += out.length;
    }
    if (this.state === "playing") {
      const frames = this.render(out);
      if (frames < out.length && this.ended) {
        this.state = "finished";
        this.reportIn = 0;
      } else if (frames < out.length) {
        this.state = "filling";
        this.underruns += 1;
        this.silence += out.length - frames;
        this.reportIn = 0;
      }
    }
    if (this.tail) {
      for (let i = 0; i < out.length && this.tail.next < FADE_FRAMES; i++) out[i] += this.tail.samples[this.tail.next++];
      if (this.tail.next >= FADE_FRAMES) this.tail = null;
    }
    this.reportIn -= out.length;
    if (this.reportIn <= 0) this.report();
    return true;
  }

  report() {
    this.reportIn = REPORT_SECONDS * sampleRate;
    const played = Math.min(Math.floor(this.position), this.written);
    this.port.postMessage({
      type: "report",
      utterance: this.utterance,
      state: this.state,
      played,
      buffered: this.written - played,
      underruns: this.underruns,
      silence: Math.round(this.silence * this.step),
    });
  }
}

registerProcessor("streamtts-player", StreamPlayer);

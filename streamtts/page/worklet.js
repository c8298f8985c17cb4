// The audio thread's part of the player: the samples of one utterance at the stream's rate, read by the audio clock.
// Notebook panel and the server's page use the same file.
//
// Messages in:  {type: "begin", utterance, prebuffer}   audio follows; samples to buffer before playback starts
//               {type: "audio", samples: Float32Array, waits}   waits: all text so far is spoken, and more may come
//               {type: "cut", at}                       the audio from this sample on is replaced by what follows
//               {type: "end"}                           no more audio for this utterance
//               {type: "play", utterance, samples, from}   a complete utterance, from this sample; null: from where it is
//               {type: "seek", position}                go on from this sample
//               {type: "loop", from, to}                repeat these samples; without numbers: no longer
//               {type: "pause"}, {type: "resume"}
//               {type: "stop"}                          fade out and drop the rest
//               begin, play, seek and stop have a number, jump; reports carry the last one that was seen
// Messages out: {type: "report", utterance, jump, state, played, buffered, underruns, silence, waited, time}   in source samples
//               {type: "first", utterance, time}        the context time at which the first sample leaves
//
// State: idle, filling (before the start, or an underrun), waiting (for text), playing, paused, finished.
//
// Where the context runs at the stream's own rate, samples pass through unchanged and the browser resamples for the
// device. Otherwise they are resampled here with a windowed sinc whose position continues across chunks, so a chunk
// boundary leaves no trace. Every jump (stop, pause, seek, loop, another utterance) is a crossfade of FADE_FRAMES.

const REPORT_SECONDS = 0.05;
const FADE_FRAMES = 256; // about 10 ms at 24 kHz: long enough that a jump does not click
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
    this.tail = null; // the faded-out frames of what was playing before a jump
    this.reportIn = 0;
    this.jumps = 0; // number of the last message that had one, for the reports after it
    this.reset(null, 0);
    this.port.onmessage = ({ data }) => this.receive(data);
  }

  reset(utterance, prebuffer) {
    this.utterance = utterance;
    this.prebuffer = Math.max(prebuffer, this.half + 1); // samples
    this.samples = new Float32Array(1 << 17); // 5 s at 24 kHz; doubles when it is full
    this.written = 0; // samples received
    this.position = 0; // sample, fractional when resampling, of the next output frame
    this.ended = this.waits = false;
    this.began = false; // a frame was played
    this.loop = null;
    this.fadeIn = FADE_FRAMES; // frames faded in since the last jump
    this.underruns = 0;
    this.silence = 0; // frames of silence those underruns cost
    this.waited = 0; // frames of silence for want of text
    this.state = utterance === null ? "idle" : "filling";
  }

  receive(message) {
    this.jumps = message.jump ?? this.jumps;
    switch (message.type) {
      case "begin":
        this.release();
        this.reset(message.utterance, message.prebuffer);
        break;
      case "audio":
        this.write(message.samples);
        this.waits = Boolean(message.waits);
        break;
      case "cut":
        this.written = Math.min(this.written, message.at);
        this.ended = false;
        break;
      case "end":
        this.ended = true;
        if (this.state === "waiting") this.state = "filling";
        break;
      case "play":
        this.play(message);
        break;
      case "seek":
        if (this.state === "paused") this.position = Math.min(message.position, this.written);
        else if (this.utterance !== null) this.jump(message.position);
        break;
      case "loop":
        this.loop = message.to > message.from ? [message.from, message.to] : null;
        break;
      case "pause":
        this.release();
        if (this.state !== "idle") this.state = "paused";
        break;
      case "resume":
        if (this.state === "paused") this.jump(this.position);
        break;
      case "stop":
        this.release();
        this.reset(null, 0);
        break;
    }
    this.reportIn = 0;
  }

  play({ utterance, samples, from }) {
    this.release();
    const position = from ?? this.position;
    const { loop } = this;
    this.reset(utterance, 0);
    this.samples = samples;
    this.written = samples.length;
    this.ended = this.began = true;
    if (from === null) this.loop = loop;
    this.jump(position);
  }

  /** Goes on from this sample, without a click. */
  jump(position) {
    this.release();
    this.position = Math.max(0, Math.min(position, this.written));
    this.fadeIn = this.position > 0 ? 0 : FADE_FRAMES;
    this.state = this.written > this.position ? "playing" : "filling";
  }

  /** Renders a last short piece that fades out; it is mixed with the audio that follows. */
  release() {
    if (this.state !== "playing") return;
    const { position, fadeIn } = this;
    const tail = new Float32Array(FADE_FRAMES);
    this.render(tail, this.written);
    for (let i = 0; i < FADE_FRAMES; i++) tail[i] *= 1 - i / FADE_FRAMES;
    this.tail = { samples: tail, next: 0, from: 0 }; // `from`: frame of the next block at which it begins
    Object.assign(this, { position, fadeIn });
  }

  write(samples) {
    if (this.written + samples.length > this.samples.length) {
      const grown = new Float32Array(Math.max(this.samples.length * 2, this.written + samples.length));
      grown.set(this.samples.subarray(0, this.written));
      this.samples = grown;
    }
    this.samples.set(samples, this.written);
    this.written += samples.length;
  }

  /** The stream at one (fractional) position; before its start and after its end it is silent. */
  at(position) {
    const whole = Math.floor(position);
    if (!this.half) return this.samples[whole];
    const first = Math.max(0, whole - this.half + 1);
    const last = Math.min(this.written - 1, whole + this.half);
    let sum = 0;
    for (let i = first; i <= last; i++) {
      const at = Math.abs(position - i) * TABLE_STEPS;
      const low = Math.floor(at);
      const weight = this.table[low] + (at - low) * (this.table[low + 1] - this.table[low]);
      sum += this.samples[i] * weight;
    }
    return sum;
  }

  /** Fills `out` with the stream before sample `end`; returns the number of frames written. */
  render(out, end) {
    let n = 0;
    for (; n < out.length && this.position < end; n++) {
      const gain = this.fadeIn < FADE_FRAMES ? this.fadeIn++ / FADE_FRAMES : 1;
      out[n] = this.at(this.position) * gain;
      this.position += this.step;
    }
    return n;
  }

  process(_inputs, outputs) {
    const out = outputs[0][0];
    this.startIfReady(out.length);
    if (this.state === "playing") this.playInto(out);
    if (this.tail) {
      for (let i = this.tail.from; i < out.length && this.tail.next < FADE_FRAMES; i++) {
        out[i] += this.tail.samples[this.tail.next++];
      }
      this.tail.from = 0;
      if (this.tail.next >= FADE_FRAMES) this.tail = null;
    }
    this.reportIn -= out.length;
    if (this.reportIn <= 0) this.report();
    return true;
  }

  /** Out of "filling" and "waiting" when there is enough to play; else counts the silence. */
  startIfReady(frames) {
    if (this.state !== "filling" && this.state !== "waiting") return;
    const ahead = this.written - this.position;
    if (ahead > 0 && (this.ended || this.waits || ahead >= this.prebuffer)) {
      this.state = "playing";
      if (!this.began) this.port.postMessage({ type: "first", utterance: this.utterance, time: currentTime });
      this.began = true;
      this.reportIn = 0;
    } else if (this.ended && ahead <= 0) {
      this.state = "finished"; // also an utterance without audio
      this.reportIn = 0;
    } else if (this.state === "waiting") {
      this.waited += frames;
    } else if (this.began) {
      this.silence += frames;
    }
  }

  playInto(out) {
    const end = this.ended ? this.written : this.written - this.half;
    let frames = this.render(out, this.loop ? Math.min(end, this.loop[1]) : end);
    if (this.loop && this.position >= Math.min(end, this.loop[1])) {
      this.jump(this.loop[0]); // its release() fades out what comes after the loop
      if (this.tail) this.tail.from = frames;
      const rest = out.subarray(frames);
      frames += this.render(rest, end);
    }
    if (frames === out.length) return;
    this.reportIn = 0;
    if (this.ended) {
      this.state = "finished";
    } else if (this.waits) {
      this.state = "waiting";
      this.waited += out.length - frames;
    } else {
      this.state = "filling";
      this.underruns += 1;
      this.silence += out.length - frames;
    }
  }

  report() {
    this.reportIn = REPORT_SECONDS * sampleRate;
    const played = Math.min(Math.floor(this.position), this.written);
    this.port.postMessage({
      type: "report",
      utterance: this.utterance,
      jump: this.jumps,
      state: this.state,
      played,
      buffered: this.written - played,
      underruns: this.underruns,
      silence: Math.round(this.silence * this.step),
      waited: Math.round(this.waited * this.step),
      time: currentTime,
    });
  }
}

registerProcessor("streamtts-player", StreamPlayer);

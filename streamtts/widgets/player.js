// The player behind the speaking panel: receives audio from the kernel, plays it, and keeps the figures to show.
//
// One Player per widget owns the AudioContext, so two views of one panel play the audio once. The kernel generates in a
// thread and sends {type: "begin" | "audio" | "end" | "stopped" | "error", utterance, ...}; "audio" carries one binary
// buffer of 16-bit little-endian PCM. The page sends "speak", "rerender", "stop", and a "report" when playback has ended.
// The name of an utterance starts with the id of the page that asked for it, so a second page on the same kernel does
// not play it.

const BUCKET = 120; // samples per stored waveform peak: 5 ms

/** Live playback needs an AudioWorklet, and browsers give that to secure contexts (https, localhost) only. */
function canStream() {
  return window.isSecureContext && typeof AudioWorkletNode === "function";
}

/** A context at the stream's own rate, where the browser resamples; else at the device's, where the worklet does. */
function openContext(rate) {
  try {
    return new AudioContext({ sampleRate: rate, latencyHint: "interactive" });
  } catch {
    return new AudioContext({ latencyHint: "interactive" });
  }
}

function wavBlob(chunks, rate) {
  const bytes = chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
  const header = new DataView(new ArrayBuffer(44));
  const ascii = (at, text) => [...text].forEach((c, i) => header.setUint8(at + i, c.charCodeAt(0)));
  ascii(0, "RIFF");
  header.setUint32(4, 36 + bytes, true);
  ascii(8, "WAVEfmt ");
  header.setUint32(16, 16, true); // length of the format block
  header.setUint16(20, 1, true); // PCM
  header.setUint16(22, 1, true); // channels
  header.setUint32(24, rate, true);
  header.setUint32(28, rate * 2, true); // bytes per second
  header.setUint16(32, 2, true); // bytes per frame
  header.setUint16(34, 16, true); // bits per sample
  ascii(36, "data");
  header.setUint32(40, bytes, true);
  return new Blob([header, ...chunks], { type: "audio/wav" });
}

class Player {
  constructor(model) {
    this.model = model;
    this.client = Math.random().toString(36).slice(2); // crypto.randomUUID is missing where the page is not secure
    this.count = 0;
    this.listeners = new Set();
    this.context = null;
    this.node = null;
    this.waiting = []; // messages for the worklet while it loads
    this.clipReason = canStream() ? "" : "This page is not a secure context (https or localhost), so it cannot play live audio.";
    this.current = null;
    this.clear("idle");
    this.onMessage = (message, buffers) => this.fromKernel(message, buffers);
    model.on("msg:custom", this.onMessage);
  }

  /** Forgets the previous utterance and shows `phase`. */
  clear(phase) {
    if (this.clip) URL.revokeObjectURL(this.clip);
    this.clip = null;
    this.phase = phase; // of generation: idle, asked, generating, complete, stopped, failed
    this.playing = "idle"; // of the worklet: idle, filling, playing, finished
    this.chunks = []; // Int16Array per chunk, for the clip
    this.seams = [];
    this.peaks = []; // [low, high] per BUCKET samples
    this.bucket = { low: 0, high: 0, filled: 0 };
    this.received = this.played = this.buffered = this.underruns = this.silence = 0; // samples; events; samples
    this.clickedAt = this.heardTtfa = this.kernelTtfa = this.rtf = null; // milliseconds; RTF has no unit
    this.error = null;
    this.reported = false;
  }

  // ---- requests of the buttons --------------------------------------------------------------------------------------

  request(type, content) {
    this.unlock();
    this.send({ type: "stop" });
    const clickedAt = performance.now();
    this.clear("asked");
    this.clickedAt = clickedAt;
    this.current = `${this.client}-${++this.count}`;
    this.model.send({ type, utterance: this.current, dark: isDark(), ...content });
    this.changed();
  }

  stop() {
    this.send({ type: "stop" });
    this.model.send({ type: "stop", utterance: this.current });
    if (this.phase === "asked" || this.phase === "generating" || this.playing !== "finished") this.phase = "stopped";
    this.current = null; // chunks that still arrive are ignored
    this.playing = "idle";
    this.buffered = 0;
    this.finish();
  }

  /** Call it inside the click handler, before any await: browsers let a page start audio only there. */
  unlock() {
    if (this.clipReason) return;
    if (!this.context) {
      this.context = openContext(this.model.get("context_rate") || RATE);
      this.context.onstatechange = () => this.changed();
      this.loadWorklet();
    }
    if (this.context.state !== "running") this.context.resume().catch(() => {});
  }

  async loadWorklet() {
    const url = URL.createObjectURL(new Blob([this.model.get("worklet")], { type: "text/javascript" }));
    try {
      await this.context.audioWorklet.addModule(url);
      this.node = new AudioWorkletNode(this.context, "streamtts-player", {
        numberOfInputs: 0,
        outputChannelCount: [1],
        processorOptions: { rate: RATE },
      });
      this.node.port.onmessage = ({ data }) => this.fromWorklet(data);
      this.node.onprocessorerror = () => this.giveUp("The audio worklet failed.");
      this.node.connect(this.context.destination);
      for (const message of this.waiting.splice(0)) this.node.port.postMessage(message);
    } catch (error) {
      this.giveUp(`The audio worklet could not be loaded (${error.message}).`);
    } finally {
      URL.revokeObjectURL(url);
    }
  }

  /** Live playback is not possible: the audio is collected and played as a clip when it is complete. */
  giveUp(reason) {
    this.clipReason = reason;
    this.waiting = [];
    this.playing = "idle";
    if (this.phase === "complete") this.finish();
    this.changed();
  }

  send(message, transfer = []) {
    if (this.clipReason) return;
    if (this.node) this.node.port.postMessage(message, transfer);
    else if (this.context) this.waiting.push(message);
  }

  // ---- messages of the kernel ---------------------------------------------------------------------------------------

  fromKernel(message, buffers) {
    if (message.type === "begin") this.begin(message);
    if (message.utterance !== this.current || this.current === null) return;
    if (message.type === "audio") this.audio(message, buffers[0]);
    if (message.type === "end") {
      this.phase = "complete";
      this.takeStats(message.stats);
      this.send({ type: "end" });
      if (this.clipReason) this.finish();
    }
    if (message.type === "stopped") {
      this.phase = "stopped";
      this.takeStats(message.stats);
      this.send({ type: "stop" });
      this.finish();
    }
    if (message.type === "error") {
      this.phase = "failed";
      this.error = message;
      this.send({ type: "end" }); // the audio received so far is valid and plays to its end
      if (this.clipReason || !this.received) this.finish();
    }
    this.changed();
  }

  begin(message) {
    if (message.utterance !== this.current) {
      if (!message.utterance.startsWith("kernel-")) return; // another page's
      this.unlock(); // without a click the context may stay suspended; the panel shows that
      this.send({ type: "stop" });
      this.clear("asked");
      this.current = message.utterance;
    }
    this.phase = "generating";
    const prebuffer = Math.round((message.prebuffer_ms / 1000) * RATE);
    this.send({ type: "begin", utterance: this.current, prebuffer });
  }

  audio(message, view) {
    const pcm = pcm16(view);
    const samples = toFloat(pcm);
    this.chunks.push(pcm);
    this.seams.push(...message.seams);
    this.received += pcm.length;
    this.kernelTtfa ??= message.elapsed_ms;
    this.rtf = message.elapsed_ms / (this.received / RATE) / 1000;
    this.collectPeaks(samples);
    this.send({ type: "audio", samples }, [samples.buffer]);
  }

  collectPeaks(samples) {
    for (const value of samples) {
      this.bucket.low = Math.min(this.bucket.low, value);
      this.bucket.high = Math.max(this.bucket.high, value);
      if (++this.bucket.filled === BUCKET) {
        this.peaks.push([this.bucket.low, this.bucket.high]);
        this.bucket = { low: 0, high: 0, filled: 0 };
      }
    }
  }

  takeStats(stats) {
    if (stats.ttfa_ms != null) this.kernelTtfa = stats.ttfa_ms;
    if (stats.rtf != null) this.rtf = stats.rtf;
  }

  // ---- messages of the audio thread ---------------------------------------------------------------------------------

  fromWorklet(message) {
    if (message.utterance === undefined || message.utterance !== this.current) return;
    if (message.type === "first" && this.clickedAt !== null) this.heardTtfa = this.leavesAt(message.time) - this.clickedAt;
    if (message.type === "report") {
      const { state, played, buffered, underruns, silence } = message;
      const ended = state === "finished" && this.playing !== "finished";
      Object.assign(this, { playing: state, played, buffered, underruns, silence });
      if (ended) this.finish();
    }
    this.changed();
  }

  /** The page's time (ms) at which the sample of this context time (s) leaves the device. */
  leavesAt(time) {
    const { contextTime, performanceTime } = this.context.getOutputTimestamp();
    if (performanceTime) return performanceTime + (time - contextTime) * 1000;
    const { currentTime, baseLatency = 0, outputLatency = 0 } = this.context;
    return performance.now() + (time - currentTime + baseLatency + outputLatency) * 1000;
  }

  /** Playback has ended, by itself or by Stop: offers the clip and reports to the kernel. */
  finish() {
    if (this.reported) return;
    this.reported = true;
    if (this.chunks.length) this.clip = URL.createObjectURL(wavBlob(this.chunks, RATE));
    const { phase, played, received, underruns } = this;
    this.model.send({
      type: "report",
      report: {
        outcome: phase,
        live: !this.clipReason,
        context_rate: this.context?.sampleRate ?? null,
        samples_received: received,
        samples_played: played,
        underruns,
        silence_ms: (this.silence / RATE) * 1000,
        heard_after_ms: this.heardTtfa,
      },
    });
    this.changed();
  }

  // ---- what the panel shows -----------------------------------------------------------------------------------------

  get busy() {
    return this.phase === "asked" || this.phase === "generating" || this.playing === "playing" || this.playing === "filling";
  }

  get label() {
    if (this.phase === "failed" && !this.busy) return ["failed", "Failed"];
    if (this.phase === "stopped") return ["idle", "Stopped"];
    if (this.phase === "idle") return ["idle", "Ready"];
    if (this.phase === "asked") return ["busy", "Waiting for the kernel"];
    if (!this.received && this.phase === "generating") return ["busy", "Generating"];
    if (this.clipReason) return this.phase === "complete" ? ["done", "Clip ready"] : ["busy", "Collecting the clip"];
    if (this.context?.state !== "running" && this.playing !== "finished") return ["failed", "Sound is blocked: click here"];
    if (this.playing === "finished") return ["done", "Finished"];
    if (this.playing === "filling" && this.played) return ["failed", "Underrun: waiting for audio"];
    if (this.playing === "playing") return ["playing", "Playing"];
    return ["busy", "Buffering"];
  }

  changed() {
    for (const listener of this.listeners) listener();
  }

  close() {
    this.model.off("msg:custom", this.onMessage);
    if (this.clip) URL.revokeObjectURL(this.clip);
    this.context?.close();
    this.current = null;
  }
}

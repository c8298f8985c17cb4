// The speaking panel: text, buttons and meters (Panel), and the player behind them (Engine).
//
// One Engine per widget owns the AudioContext, so two views of one panel sound once. The kernel generates in a thread
// and sends {type: "begin" | "audio" | "end" | "stopped" | "error", utterance, ...}; "audio" carries one binary buffer
// of 16-bit little-endian PCM. The page sends "speak", "rerender", "stop", and a "report" once playback has ended.
// Names of utterances begin with the page that asked for them: two tabs on one kernel do not play each other's speech.

const RATE = 24000; // Hz, the family's sample rate
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

/** Whether the host shows a dark theme: JupyterLab says so itself, others by their background. */
function isDark() {
  const { jpThemeLight } = document.body.dataset;
  if (jpThemeLight) return jpThemeLight === "false";
  const [r, g, b, alpha = 1] = (getComputedStyle(document.body).backgroundColor.match(/[\d.]+/g) ?? [255, 255, 255]).map(Number);
  return alpha > 0 && r + g + b < 3 * 100;
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

class Engine {
  constructor(model) {
    this.model = model;
    this.client = Math.random().toString(36).slice(2); // crypto.randomUUID is missing where the page is not secure
    this.count = 0;
    this.listeners = new Set();
    this.context = null;
    this.node = null;
    this.waiting = []; // messages for the worklet until its module is there
    this.clipReason = canStream() ? "" : "This page is not a secure context (https or localhost), so it gets no live audio.";
    this.current = null;
    this.clear("idle");
    this.onMessage = (message, buffers) => this.receive(message, buffers);
    model.on("msg:custom", this.onMessage);
  }

  /** Forgets the last utterance and shows `phase`. */
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
    this.clickedAt = this.heardAfter = this.engineAfter = this.rtf = null;
    this.stats = this.error = null;
    this.reported = false;
  }

  // ---- what the buttons do -------------------------------------------------------------------------------------

  ask(type, content) {
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
    this.current = null; // chunks still under way are not for anybody now
    this.playing = "idle";
    this.buffered = 0;
    this.finish();
  }

  /** Runs inside the click, before anything is awaited: only there may a page begin to sound. */
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
      this.node.port.onmessage = ({ data }) => this.heard(data);
      this.node.onprocessorerror = () => this.giveUp("The audio worklet failed.");
      this.node.connect(this.context.destination);
      for (const message of this.waiting.splice(0)) this.node.port.postMessage(message);
    } catch (error) {
      this.giveUp(`This page did not load the audio worklet (${error.message}).`);
    } finally {
      URL.revokeObjectURL(url);
    }
  }

  /** No live audio here: what is collected plays as a finished clip instead. */
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

  // ---- what the kernel says ------------------------------------------------------------------------------------

  receive(message, buffers) {
    if (message.type === "begin") this.begin(message);
    if (message.utterance !== this.current || this.current === null) return;
    if (message.type === "audio") this.audio(message, buffers[0]);
    if (message.type === "end") {
      this.phase = "complete";
      this.showStats(message.stats);
      this.send({ type: "end" });
      if (this.clipReason) this.finish();
    }
    if (message.type === "stopped") {
      this.phase = "stopped";
      this.showStats(message.stats);
      this.send({ type: "stop" });
      this.finish();
    }
    if (message.type === "error") {
      this.phase = "failed";
      this.error = message;
      this.send({ type: "end" }); // what was heard so far stays valid: let it play out
      if (this.clipReason || !this.received) this.finish();
    }
    this.changed();
  }

  begin(message) {
    if (message.utterance !== this.current) {
      if (!message.utterance.startsWith("kernel-")) return; // another tab's
      this.unlock(); // without a click this may leave the context suspended, which the panel then says
      this.send({ type: "stop" });
      this.clear("asked");
      this.current = message.utterance;
    }
    this.phase = "generating";
    const prebuffer = Math.round((message.prebuffer_ms / 1000) * RATE);
    this.send({ type: "begin", utterance: this.current, prebuffer });
  }

  audio(message, view) {
    const pcm = new Int16Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
    const samples = Float32Array.from(pcm, (value) => value / 32767);
    this.chunks.push(pcm);
    this.seams.push(...message.seams);
    this.received += pcm.length;
    this.engineAfter ??= message.elapsed_ms;
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

  showStats(stats) {
    this.stats = stats;
    if (stats.ttfa_ms != null) this.engineAfter = stats.ttfa_ms;
    if (stats.rtf != null) this.rtf = stats.rtf;
  }

  // ---- what the audio thread says ------------------------------------------------------------------------------

  heard(message) {
    if (message.utterance === undefined || message.utterance !== this.current) return;
    if (message.type === "first" && this.clickedAt !== null) this.heardAfter = this.leavesAt(message.time) - this.clickedAt;
    if (message.type === "report") {
      const { state, played, buffered, underruns, silence } = message;
      const ended = state === "finished" && this.playing !== "finished";
      Object.assign(this, { playing: state, played, buffered, underruns, silence });
      if (ended) this.finish();
    }
    this.changed();
  }

  /** When a sample of the context's clock leaves the device, on the page's clock, in milliseconds. */
  leavesAt(time) {
    const { contextTime, performanceTime } = this.context.getOutputTimestamp();
    if (performanceTime) return performanceTime + (time - contextTime) * 1000;
    const { currentTime, baseLatency = 0, outputLatency = 0 } = this.context;
    return performance.now() + (time - currentTime + baseLatency + outputLatency) * 1000;
  }

  /** Playback is over, by itself or by Stop: the clip can be had, and the kernel hears how it went. */
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
        heard_after_ms: this.heardAfter,
      },
    });
    this.changed();
  }

  // ---- what the panel shows ------------------------------------------------------------------------------------

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

// ---- the panel --------------------------------------------------------------------------------------------------

const MARKUP = `
  <textarea class="text" rows="3" aria-label="Text to speak" spellcheck="false"></textarea>
  <div class="row">
    <button class="speak" title="Speak this text (Ctrl+Enter)">Speak</button>
    <button class="stop" title="Stop playback and generation" disabled>Stop</button>
    <button class="rerender" title="Play the same speech tokens again with the settings as they are now" disabled>Re-render</button>
    <label class="pick">voice <select class="voice" aria-label="Voice"></select></label>
    <span class="state" role="status"></span>
  </div>
  <p class="error" role="alert" hidden></p>
  <p class="notice" hidden></p>
  <canvas class="wave" role="img" aria-label="Waveform so far, with chunk seams and the play position"></canvas>
  <dl class="meters">
    <div title="Time to first audio: from the click to the first sample leaving the browser"><dt>TTFA heard</dt><dd class="heard"></dd></div>
    <div title="Time to first audio: from the start of generation to the first chunk, in the kernel"><dt>TTFA kernel</dt><dd class="engine"></dd></div>
    <div title="Generation time over audio time: below 1 is faster than real time"><dt>RTF</dt><dd class="rtf"></dd></div>
    <div title="Audio received and not yet played"><dt>buffered</dt><dd class="buffered"></dd></div>
    <div title="Times the player ran dry, and the silence that cost"><dt>underruns</dt><dd class="underruns"></dd></div>
    <div title="Audio played of audio received"><dt>audio</dt><dd class="audio"></dd></div>
    <div title="Chunks received"><dt>chunks</dt><dd class="chunks"></dd></div>
  </dl>
  <div class="row clip" hidden><audio controls></audio><a class="download" download="speech.wav">Download WAV</a></div>
`;

const ms = (value) => (value === null ? "–" : `${Math.round(value)} ms`);
const seconds = (samples) => (samples / RATE).toFixed(2);

function render(engine, model, el) {
  const root = document.createElement("div");
  root.className = "streamtts-panel";
  root.innerHTML = MARKUP;
  // In JupyterLab, Enter on a button presses it instead of editing the cell. The text box keeps Ctrl+S and the like.
  root.querySelectorAll("button, select, a").forEach((control) => (control.dataset.lmSuppressShortcuts = "true"));
  el.append(root);
  const $ = (name) => root.querySelector(`.${name}`);

  const speak = () => engine.ask("speak", { text: $("text").value, voice: $("voice").value });
  $("speak").onclick = speak;
  $("stop").onclick = () => engine.stop();
  $("rerender").onclick = () => engine.ask("rerender", { voice: $("voice").value });
  $("state").onclick = () => engine.unlock();
  $("text").onkeydown = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      speak();
    }
  };
  $("text").onchange = () => {
    model.set("text", $("text").value);
    model.save_changes();
  };
  const showText = () => ($("text").value = model.get("text"));
  const showVoices = () => {
    $("voice").replaceChildren(...model.get("voices").map((name) => new Option(name, name)));
    $("voice").value = model.get("voice");
  };
  $("voice").onchange = () => {
    model.set("voice", $("voice").value);
    model.save_changes();
  };

  const show = () => {
    const [kind, words] = engine.label;
    $("state").dataset.kind = kind;
    if ($("state").textContent !== words) $("state").textContent = words; // a screen reader hears changes only
    $("stop").disabled = !engine.busy;
    $("rerender").disabled = !model.get("can_rerender");
    $("error").hidden = !engine.error;
    $("error").textContent = engine.error ? `${engine.error.code}: ${engine.error.message}` : "";
    $("notice").hidden = !engine.clipReason;
    $("notice").textContent = engine.clipReason && `${engine.clipReason} The finished clip plays below instead.`;
    $("heard").textContent = ms(engine.heardAfter);
    $("engine").textContent = ms(engine.engineAfter);
    $("rtf").textContent = engine.rtf === null ? "–" : engine.rtf.toFixed(2);
    $("buffered").textContent = ms((engine.buffered / RATE) * 1000);
    $("underruns").textContent = engine.underruns + (engine.silence ? ` (${ms((engine.silence / RATE) * 1000)})` : "");
    $("underruns").dataset.bad = engine.underruns > 0;
    $("audio").textContent = `${seconds(engine.played)} / ${seconds(engine.received)} s`;
    $("chunks").textContent = engine.chunks.length;
    showClip();
    draw($("wave"), engine);
  };
  const showClip = () => {
    $("clip").hidden = !engine.clip;
    const audio = root.querySelector("audio");
    if (audio.dataset.clip === (engine.clip ?? "")) return;
    audio.dataset.clip = engine.clip ?? "";
    if (!engine.clip) return audio.removeAttribute("src");
    $("download").href = audio.src = engine.clip;
    if (engine.clipReason) audio.play().catch(() => {}); // refused without a recent click: the controls are there
  };

  let frame = 0;
  const soon = () => (frame ||= requestAnimationFrame(() => ((frame = 0), show())));
  engine.listeners.add(soon);
  const resized = new ResizeObserver(soon);
  resized.observe($("wave"));
  model.on("change:text", showText);
  model.on("change:voices change:voice", showVoices);
  model.on("change:can_rerender", soon);
  showText();
  showVoices();
  show();
  return () => {
    engine.listeners.delete(soon);
    resized.disconnect();
    cancelAnimationFrame(frame);
    model.off("change:text", showText);
    model.off("change:voices change:voice", showVoices);
    model.off("change:can_rerender", soon);
  };
}

/** The waveform so far: played part strong, the rest pale, a dashed line where two decoder passes join. */
function draw(canvas, engine) {
  const scale = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== Math.round(width * scale)) canvas.width = Math.round(width * scale);
  if (canvas.height !== Math.round(height * scale)) canvas.height = Math.round(height * scale);
  const pen = canvas.getContext("2d");
  const colour = (name) => getComputedStyle(canvas).getPropertyValue(name);
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  const total = Math.max(engine.received, RATE * 2); // a short start does not fill the whole width
  const middle = height / 2;
  const played = (engine.played / total) * width;
  const loudest = engine.peaks.reduce((most, [low, high]) => Math.max(most, high, -low), 0.1);
  for (let x = 0; x < (engine.received / total) * width; x++) {
    const from = Math.floor(((x / width) * total) / BUCKET);
    const to = Math.max(from + 1, Math.floor((((x + 1) / width) * total) / BUCKET));
    let low = 0;
    let high = 0;
    for (let i = from; i < to && i < engine.peaks.length; i++) {
      low = Math.min(low, engine.peaks[i][0]);
      high = Math.max(high, engine.peaks[i][1]);
    }
    pen.fillStyle = colour(x < played ? "--wave-played" : "--wave-waiting");
    const top = middle - (high / loudest) * middle * 0.92;
    pen.fillRect(x, top, 1, Math.max(1, ((high - low) / loudest) * middle * 0.92));
  }
  pen.strokeStyle = colour("--wave-seam");
  pen.setLineDash([3, 3]);
  pen.beginPath();
  for (const seam of engine.seams) {
    const x = Math.round((seam / total) * width) + 0.5;
    pen.moveTo(x, 0);
    pen.lineTo(x, height);
  }
  pen.stroke();
  pen.setLineDash([]);
  if (engine.playing === "playing") {
    pen.fillStyle = colour("--wave-head");
    pen.fillRect(played - 1, 0, 2, height);
  }
}

export default () => {
  let engine;
  return {
    initialize({ model }) {
      engine = new Engine(model);
      return () => engine.close();
    },
    render({ model, el }) {
      return render(engine, model, el);
    },
  };
};

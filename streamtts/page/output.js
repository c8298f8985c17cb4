// The page's audio output: one AudioContext with the worklet, and where playback is now.

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

class Output {
  /**
   * `worklet`: a function that returns the address of worklet.js, and a function to call when it has been loaded.
   * `onReport` and `onFirst` get the worklet's messages, `onChange` is called when sound gets blocked or allowed.
   */
  constructor({ worklet, contextRate = 0, onReport, onFirst, onChange }) {
    Object.assign(this, { worklet, contextRate, onReport, onFirst, onChange });
    this.context = this.node = null;
    this.waiting = []; // messages for the worklet while it loads
    this.failed = canStream() ? "" : "This page is not a secure context (https or localhost), so it cannot play live audio.";
    this.utterance = null; // of the last message to the worklet: older reports are late
    this.jumps = 0; // messages that change what plays or where: a report from before the last is late, too
    this.jumped(0);
  }

  jumped(sample) {
    this.last = { state: "idle", played: sample };
  }

  /** Whether the browser holds the sound back until somebody clicks. */
  get blocked() {
    return !this.failed && this.context?.state !== "running";
  }

  /** Call it inside the click handler, before any await: browsers let a page start audio only there. */
  unlock() {
    if (this.failed) return;
    if (!this.context) {
      this.context = openContext(this.contextRate || RATE);
      this.context.onstatechange = () => this.onChange();
      this.load();
    }
    if (this.context.state !== "running") this.context.resume().catch(() => {});
  }

  async load() {
    const [url, loaded] = this.worklet();
    try {
      await this.context.audioWorklet.addModule(url);
      this.node = new AudioWorkletNode(this.context, "streamtts-player", {
        numberOfInputs: 0,
        outputChannelCount: [1],
        processorOptions: { rate: RATE },
      });
      this.node.port.onmessage = ({ data }) => this.receive(data);
      this.node.onprocessorerror = () => this.giveUp("The audio worklet failed.");
      this.node.connect(this.context.destination);
      for (const message of this.waiting.splice(0)) this.node.port.postMessage(message);
    } catch (error) {
      this.giveUp(`The audio worklet could not be loaded (${error.message}).`);
    } finally {
      loaded();
    }
  }

  /** Live playback is not possible: audio is collected and played as a clip when it is complete. */
  giveUp(reason) {
    this.failed = reason;
    this.waiting = [];
    this.onChange();
  }

  send(message, transfer = []) {
    if (this.failed) return;
    const { type, utterance = null, from, position } = message;
    if (type === "begin" || type === "play" || type === "stop") this.utterance = utterance;
    if (type === "seek") this.jumped(position);
    else if (type === "begin" || type === "stop") this.jumped(0);
    else if (type === "play" && from !== null) this.jumped(from);
    if (["begin", "play", "seek", "stop"].includes(type)) message.jump = ++this.jumps;
    if (this.node) this.node.port.postMessage(message, transfer);
    else if (this.context) this.waiting.push(message);
  }

  receive(message) {
    if (message.utterance !== this.utterance) return;
    if (message.type === "first") this.onFirst(message, this.leavesAt(message.time));
    if (message.type !== "report" || message.jump !== this.jumps) return;
    this.last = message;
    this.onReport(message);
  }

  /** The page's time (ms) at which the sample of this context time (s) leaves the device. */
  leavesAt(time) {
    const { contextTime, performanceTime } = this.context.getOutputTimestamp();
    if (performanceTime) return performanceTime + (time - contextTime) * 1000;
    const { currentTime, baseLatency = 0, outputLatency = 0 } = this.context;
    return performance.now() + (time - currentTime + baseLatency + outputLatency) * 1000;
  }

  /** The sample that leaves the device now: between two reports the clock goes on, and the device has a delay. */
  position() {
    const { state, played, buffered, time } = this.last;
    if (state !== "playing") return played;
    const since = ((performance.now() - this.leavesAt(time)) / 1000) * RATE;
    return Math.max(0, Math.min(played + since, played + buffered));
  }

  close() {
    this.context?.close();
  }
}

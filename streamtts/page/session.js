// The server's session protocol (/ws/v1/tts) as the source of a player: one socket, one context at a time.
// The text is sent word by word, as a language model would write it.

class Session {
  /** `ready` is called with the server's first message; `used` with the take whose settings a person wants to use. */
  constructor({ token, ready, used, defaults }) {
    Object.assign(this, { token, ready, used, defaults });
    this.suffix = token ? `?token=${encodeURIComponent(token)}` : "";
    this.player = null;
    this.socket = null;
    this.turn = null; // { id, content, written }: what the server is speaking
  }

  asked(ms) {
    if (!this.open) return "Connecting";
    return ms < PATIENCE_MS ? "Waiting for the server" : "Waiting for the server: it is busy";
  }

  get open() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  // ---- what the player sends ----------------------------------------------------------------------------------------

  send(message) {
    if (message.type === "speak") this.speak(message);
    if (message.type === "stop") this.cancel();
    if (message.type === "take_action" && message.action === "use") this.used(message.take);
  }

  async speak({ utterance, ...content }) {
    this.cancel(); // the one before, if the server still works on it
    const turn = (this.turn = { id: utterance, content, written: "" });
    try {
      await this.connected();
    } catch {
      return;
    }
    if (this.turn !== turn) return;
    this.write({ type: "start", context_id: turn.id, voice: content.voice, settings: content.settings, verdict: true });
    for (const word of content.text.match(/\S+\s*|\s+/g) ?? []) {
      this.write({ type: "text", context_id: turn.id, text: word });
      turn.written += word;
      this.player.takes.find(turn.id)?.setText(turn.written);
      this.player.changed();
      await new Promise((resolve) => setTimeout(resolve, 1000 / content.wordsPerSecond));
      if (this.turn !== turn) return;
    }
    this.write({ type: "end", context_id: turn.id });
  }

  cancel() {
    if (this.turn && this.open) this.write({ type: "cancel", context_id: this.turn.id });
    this.turn = null;
  }

  // ---- the socket ---------------------------------------------------------------------------------------------------

  write(message) {
    if (this.open) this.socket.send(JSON.stringify(message));
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}/ws/v1/tts${this.suffix}`);
    this.socket.binaryType = "arraybuffer";
    this.socket.onmessage = ({ data }) => (typeof data === "string" ? this.onMessage(JSON.parse(data)) : this.onAudio(data));
    let opened = false;
    this.socket.onopen = () => (opened = true);
    this.socket.onclose = ({ reason }) => {
      const { turn } = this;
      const closed = `The connection to the server was closed${reason ? `: ${reason}` : ""}. Speak connects again.`;
      const words = opened ? closed : "The server cannot be reached. Is it still running?";
      if (turn) this.receive(turn, { type: "error", code: "closed", message: words });
      else this.player.receive({ type: "notice", words });
    };
  }

  connected() {
    if (!this.socket || this.socket.readyState > WebSocket.OPEN) this.connect();
    if (this.open) return Promise.resolve();
    const { socket } = this;
    return new Promise((resolve, reject) => {
      socket.addEventListener("open", resolve, { once: true });
      socket.addEventListener("close", reject, { once: true }); // onclose has said it
    });
  }

  /** Passes a message on as one of a kernel; after a final one the server works on nothing. */
  receive(turn, message, buffers) {
    if (["end", "stopped", "error"].includes(message.type)) this.turn = null;
    this.player.receive({ utterance: turn.id, ...message }, buffers);
  }

  onMessage(message) {
    const { turn } = this;
    if (message.type === "ready") this.ready(message);
    if (message.type === "audio") this.header = message;
    if (message.type === "verdict") this.player.receive({ ...message, utterance: message.context_id }); // later than the end
    if (message.type === "error" && !message.context_id && !turn) this.player.receive({ type: "notice", words: message.message });
    if (!turn || (message.context_id ?? turn.id) !== turn.id) return;
    const { prebuffer_ms, voice } = turn.content;
    if (message.type === "started") this.receive(turn, { type: "begin", prebuffer_ms, voice, settings: message.settings });
    if (message.type === "complete") this.complete(turn, message.stats);
    if (message.type === "cancelled") this.receive(turn, { type: "stopped", stats: message.stats ?? {} });
    if (message.type === "error") this.receive(turn, message);
  }

  complete(turn, stats) {
    const missing = stats.samples - this.player.takes.find(turn.id).samples;
    if (!missing) return this.receive(turn, { type: "end", stats });
    this.receive(turn, { type: "error", code: "model_failed", message: `${missing} samples of the audio did not arrive.` });
  }

  onAudio(pcm) {
    const { header, turn } = this;
    if (header?.context_id !== turn?.id) return; // of a context that was interrupted
    this.receive(turn, { ...header, type: "audio" }, [new DataView(pcm)]);
  }
}

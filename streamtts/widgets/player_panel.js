// What a person sees of the player: text, buttons, figures and the waveform.

const MARKUP = `
  <textarea class="text" rows="3" aria-label="Text to speak" spellcheck="false"></textarea>
  <div class="row">
    <button class="speak" title="Speak this text (Ctrl+Enter)">Speak</button>
    <button class="stop" title="Stop playback and generation" disabled>Stop</button>
    <button class="rerender" title="Decode the same speech tokens again, with the current settings" disabled>Re-render</button>
    <label class="pick">voice <select class="voice" aria-label="Voice"></select></label>
    <span class="state" role="status"></span>
  </div>
  <p class="error" role="alert" hidden></p>
  <p class="notice" hidden></p>
  <canvas class="wave" role="img" aria-label="Waveform so far, with chunk seams and the play position"></canvas>
  <dl class="meters">
    <div title="Time to first audio: from the click until the first sample leaves the browser"><dt>TTFA heard</dt><dd class="heard"></dd></div>
    <div title="Time to first audio: from the start of generation to the first chunk, in the kernel"><dt>TTFA kernel</dt><dd class="kernel"></dd></div>
    <div title="Real-time factor: generation time divided by audio time. Below 1 is faster than real time"><dt>RTF</dt><dd class="rtf"></dd></div>
    <div title="Audio received and not yet played"><dt>buffered</dt><dd class="buffered"></dd></div>
    <div title="How often the player ran out of audio, and how long it was silent"><dt>underruns</dt><dd class="underruns"></dd></div>
    <div title="Audio played / audio received"><dt>audio</dt><dd class="audio"></dd></div>
    <div title="Chunks received"><dt>chunks</dt><dd class="chunks"></dd></div>
  </dl>
  <div class="row clip" hidden><audio controls></audio><a class="download" download="speech.wav">Download WAV</a></div>
`;

const ms = (value) => (value === null ? "–" : `${Math.round(value)} ms`);
const seconds = (samples) => (samples / RATE).toFixed(2);

/** One view of a player; the notebook may show several. */
class PlayerPanel {
  constructor(player, model, el) {
    this.player = player;
    this.model = model;
    this.root = document.createElement("div");
    this.root.className = "streamtts-panel";
    this.root.innerHTML = MARKUP;
    keepEnter(this.root); // not the text box, which keeps JupyterLab's shortcuts (Ctrl+S)
    el.append(this.root);
    this.connectControls();
    this.frame = 0;
    this.showSoon = () => (this.frame ||= requestAnimationFrame(() => ((this.frame = 0), this.show())));
    this.showText = () => (this.$("text").value = model.get("text"));
    this.showVoices = () => {
      this.$("voice").replaceChildren(...model.get("voices").map((name) => new Option(name, name)));
      this.$("voice").value = model.get("voice");
    };
    player.listeners.add(this.showSoon);
    this.resized = new ResizeObserver(this.showSoon);
    this.resized.observe(this.$("wave"));
    model.on("change:text", this.showText);
    model.on("change:voices change:voice", this.showVoices);
    model.on("change:can_rerender", this.showSoon);
    this.showText();
    this.showVoices();
    this.show();
  }

  /** The element of this class. */
  $(name) {
    return this.root.querySelector(`.${name}`);
  }

  connectControls() {
    const { player } = this;
    const voice = () => this.$("voice").value;
    const speak = () => player.request("speak", { text: this.$("text").value, voice: voice() });
    const save = (trait, value) => {
      this.model.set(trait, value);
      this.model.save_changes();
    };
    this.$("speak").onclick = speak;
    this.$("stop").onclick = () => player.stop();
    this.$("rerender").onclick = () => player.request("rerender", { voice: voice() });
    this.$("state").onclick = () => player.unlock();
    this.$("text").onkeydown = (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        speak();
      }
    };
    this.$("text").onchange = () => save("text", this.$("text").value);
    this.$("voice").onchange = () => save("voice", voice());
  }

  show() {
    const { player } = this;
    const [kind, words] = player.label;
    const state = this.$("state");
    state.dataset.kind = kind;
    if (state.textContent !== words) state.textContent = words; // a screen reader announces every change
    this.$("stop").disabled = !player.busy;
    this.$("rerender").disabled = !this.model.get("can_rerender");
    this.$("error").hidden = !player.error;
    this.$("error").textContent = player.error ? `${player.error.code}: ${player.error.message}` : "";
    this.$("notice").hidden = !player.clipReason;
    this.$("notice").textContent = player.clipReason && `${player.clipReason} The complete clip is played below instead.`;
    this.$("heard").textContent = ms(player.heardTtfa);
    this.$("kernel").textContent = ms(player.kernelTtfa);
    this.$("rtf").textContent = player.rtf === null ? "–" : player.rtf.toFixed(2);
    this.$("buffered").textContent = ms((player.buffered / RATE) * 1000);
    this.$("underruns").textContent = player.underruns + (player.silence ? ` (${ms((player.silence / RATE) * 1000)})` : "");
    this.$("underruns").dataset.bad = player.underruns > 0;
    this.$("audio").textContent = `${seconds(player.played)} / ${seconds(player.received)} s`;
    this.$("chunks").textContent = player.chunks.length;
    this.showClip();
    drawWaveform(this.$("wave"), player);
  }

  showClip() {
    const { clip, clipReason } = this.player;
    this.$("clip").hidden = !clip;
    const audio = this.root.querySelector("audio");
    if (audio.dataset.clip === (clip ?? "")) return;
    audio.dataset.clip = clip ?? "";
    if (!clip) return audio.removeAttribute("src");
    this.$("download").href = audio.src = clip;
    if (clipReason) audio.play().catch(() => {}); // browsers refuse without a recent click; the controls remain
  }

  close() {
    this.player.listeners.delete(this.showSoon);
    this.resized.disconnect();
    cancelAnimationFrame(this.frame);
    this.model.off("change:text", this.showText);
    this.model.off("change:voices change:voice", this.showVoices);
    this.model.off("change:can_rerender", this.showSoon);
  }
}

/** The waveform so far: the played part in full colour, the rest pale, a dashed line at every seam. */
function drawWaveform(canvas, player) {
  const scale = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== Math.round(width * scale)) canvas.width = Math.round(width * scale);
  if (canvas.height !== Math.round(height * scale)) canvas.height = Math.round(height * scale);
  const pen = canvas.getContext("2d");
  const colour = (name) => getComputedStyle(canvas).getPropertyValue(name);
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  const total = Math.max(player.received, RATE * 2); // the first samples do not fill the whole width
  const middle = height / 2;
  const played = (player.played / total) * width;
  const loudest = player.peaks.reduce((most, [low, high]) => Math.max(most, high, -low), 0.1);
  for (let x = 0; x < (player.received / total) * width; x++) {
    const from = Math.floor(((x / width) * total) / BUCKET);
    const to = Math.max(from + 1, Math.floor((((x + 1) / width) * total) / BUCKET));
    let low = 0;
    let high = 0;
    for (let i = from; i < to && i < player.peaks.length; i++) {
      low = Math.min(low, player.peaks[i][0]);
      high = Math.max(high, player.peaks[i][1]);
    }
    pen.fillStyle = colour(x < played ? "--wave-played" : "--wave-waiting");
    const top = middle - (high / loudest) * middle * 0.92;
    pen.fillRect(x, top, 1, Math.max(1, ((high - low) / loudest) * middle * 0.92));
  }
  pen.strokeStyle = colour("--wave-seam");
  pen.setLineDash([3, 3]);
  pen.beginPath();
  for (const seam of player.seams) {
    const x = Math.round((seam / total) * width) + 0.5;
    pen.moveTo(x, 0);
    pen.lineTo(x, height);
  }
  pen.stroke();
  pen.setLineDash([]);
  if (player.playing === "playing") {
    pen.fillStyle = colour("--wave-head");
    pen.fillRect(played - 1, 0, 2, height);
  }
}

export default () => {
  let player;
  return {
    initialize({ model }) {
      player = new Player(model);
      return () => player.close();
    },
    render({ model, el }) {
      const panel = new PlayerPanel(player, model, el);
      return () => panel.close();
    },
  };
};

// What a person sees of the player, in the notebook and on the server's page: text, buttons, waveform, figures, takes.

const MARKUP = `
  <textarea class="text" rows="3" aria-label="Text to speak" spellcheck="false"></textarea>
  <div class="row">
    <button class="speak" title="Speak this text (Ctrl+Enter)">Speak</button>
    <button class="stop" title="Stop playback and generation (Esc)" disabled>Stop</button>
    <button class="rerender" title="Decode the same speech tokens again, with the current settings" disabled>Re-render</button>
    <label class="pick">voice <select class="voice" aria-label="Voice"></select></label>
    <span class="state" role="status"></span><span class="since" aria-hidden="true" hidden></span>
  </div>
  <p class="error" role="alert" hidden></p>
  <p class="notice remedy" role="status" hidden><span></span> <button></button></p>
  <p class="notice passing" role="status" hidden></p>
  <p class="notice reason" hidden></p>
  <p class="notice missing" role="status" hidden></p>
  <p class="verdict" role="status" hidden></p>
  <div class="waveform"></div>
  <div class="transcript" role="group" aria-label="What is spoken; the part that is heard is marked" tabindex="0" hidden></div>
  <dl class="meters">
    <div title="Time to first audio: from the click until the first sample leaves the browser"><dt>TTFA heard</dt><dd class="heard"></dd></div>
    <div title="Time to first audio: from the start of generation to the first chunk"><dt class="made-by"></dt><dd class="kernel"></dd></div>
    <div title="Real-time factor: generation time divided by audio time. Below 1 is faster than real time"><dt>RTF</dt><dd class="rtf"></dd></div>
    <div title="Audio received and not yet played"><dt>buffered</dt><dd class="buffered"></dd></div>
    <div title="How often the player ran out of audio, and how long it was silent"><dt>underruns</dt><dd class="underruns"></dd></div>
    <div class="text-wait" title="Silence because no more text had come: no underrun" hidden><dt>waited for text</dt><dd class="waited"></dd></div>
    <div title="Audio played / audio received"><dt>audio</dt><dd class="audio"></dd></div>
    <div title="How much of the text has been heard"><dt>text heard</dt><dd class="share"></dd></div>
    <div title="Chunks received"><dt>chunks</dt><dd class="chunks"></dd></div>
  </dl>
  <div class="row clip" hidden><audio controls aria-label="The complete clip"></audio><a class="download">Download WAV</a></div>
  <section class="takes" aria-label="Takes" hidden></section>
`;

/** One view of a player; the notebook may show several. */
class PlayerView {
  /**
   * `host`: { voice(), content(), madeBy, rerender, actions(), use(remedy) }: the chosen voice, what Speak asks for, who
   * generates, whether Re-render is possible, more entries of a take's menu, and what applies a remedy and speaks again.
   */
  constructor(player, el, host) {
    Object.assign(this, { player, host });
    this.root = element("div", { className: "streamtts-panel", innerHTML: MARKUP });
    el.append(this.root);
    this.audio = this.root.querySelector("audio");
    this.waveform = new Waveform(player, this.$("waveform"));
    this.takes = new TakesView(player, this.$("takes"), () => host.actions?.() ?? []);
    this.$("made-by").textContent = `TTFA ${host.madeBy}`;
    keepEnter(this.root); // not the text box, which keeps JupyterLab's shortcuts (Ctrl+S)
    ownEnter(this.root);
    this.connect();
    this.frame = 0;
    this.showSoon = (event) => {
      if (event === "stop") this.audio.pause();
      this.frame ||= requestAnimationFrame(() => ((this.frame = 0), this.show()));
    };
    player.listeners.add(this.showSoon);
    this.resized = new ResizeObserver(this.showSoon);
    this.resized.observe(this.$("wave"));
    this.offTheme = onTheme(() => setTimeout(this.showSoon, 100)); // after the new style sheet is in use
  }

  /** The element of this class. */
  $(name) {
    return this.root.querySelector(`.${name}`);
  }

  connect() {
    const { player } = this;
    this.speak = () => player.request("speak", this.host.content());
    this.$("speak").onclick = this.speak;
    this.$("stop").onclick = () => player.stop();
    this.$("rerender").onclick = () => player.request("rerender", { voice: this.$("voice").value });
    this.$("state").onclick = () => player.output.unlock();
    this.$("state").onkeydown = ({ key }) => key === "Enter" && player.output.unlock();
    this.$("remedy").querySelector("button").onclick = () => {
      this.$("speak").focus({ preventScroll: true }); // the button goes
      this.host.use(remedy(player));
    };
    this.$("transcript").onclick = (event) => this.playFrom(event);
    this.root.addEventListener("keydown", (event) => {
      if (event.key === "Escape") player.stop();
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.defaultPrevented) return;
      event.preventDefault();
      if (event.repeat) return; // a key that is held down is one wish
      if (event.target.type === "number") {
        event.target.blur(); // what was typed counts now
        event.target.focus();
      }
      this.speak();
    });
  }

  show() {
    const { player } = this;
    const { take } = player;
    const [kind, words] = stateLabel(player);
    const state = this.$("state");
    state.dataset.kind = kind;
    if (state.textContent !== words) state.textContent = words; // a screen reader announces every change
    state.tabIndex = kind === "blocked" ? 0 : -1; // then it is pressed to allow sound
    disable(this.$("stop"), !player.busy && this.audio.paused, this.$("speak"));
    this.$("rerender").hidden = this.host.rerender === undefined;
    this.$("rerender").disabled = !this.host.rerender?.();
    const error = (player.live ?? take)?.error;
    this.$("error").hidden = !error;
    this.$("error").dataset.code = error?.code ?? "";
    this.$("error").textContent = error?.message ?? "";
    this.$("passing").hidden = !player.passing;
    this.$("passing").textContent = player.passing ?? "";
    this.$("reason").hidden = !player.clipReason;
    this.$("reason").textContent = player.clipReason && `${player.clipReason} The complete clip is played below instead.`;
    for (const [name, text] of Object.entries(figures(player, take))) this.$(name).textContent = text;
    this.$("underruns").dataset.bad = Boolean(take?.underruns);
    this.$("text-wait").hidden = !take?.waited;
    this.$("missing").hidden = !take?.stats.missing_text;
    this.$("missing").textContent = `These words were not said: ${take?.stats.missing_text}`;
    this.showRemedy();
    this.showVerdict(take);
    this.waveform.show();
    this.showTranscript(take);
    this.showClip(take);
    this.takes.show();
    this.animate();
  }

  /** Between two reports of the audio thread only the playhead and the marked words move. */
  animate() {
    cancelAnimationFrame(this.animation);
    const step = () => {
      if (!this.waveform.moveHead()) return;
      this.showTranscript(this.player.take);
      this.animation = requestAnimationFrame(step);
    };
    if (this.player.playing) this.animation = requestAnimationFrame(step);
  }

  showRemedy() {
    const found = this.player.live ? null : remedy(this.player);
    this.$("remedy").hidden = !found;
    if (!found) return;
    this.$("remedy").querySelector("span").textContent = found.words;
    this.$("remedy").querySelector("button").textContent = `${found.label} and hear it again`;
  }

  /** The verdict, with a button for each place that it names. */
  showVerdict(take) {
    const box = this.$("verdict");
    if (box.verdict === take?.verdict) return;
    box.verdict = take?.verdict;
    box.hidden = !take?.verdict;
    if (!take?.verdict) return box.replaceChildren();
    const { sentence, places } = take.verdict;
    const kinds = new Map(); // of faults at one place
    for (const { sample, what } of places) kinds.set(sample, [...(kinds.get(sample) ?? []), what]);
    const buttons = [...kinds].map(([sample, whats]) => {
      const button = element("button", { textContent: `Hear ${inSeconds(sample)} s`, title: `${whats.join(", ")}: 300 ms before and after, repeated` });
      button.onclick = () => this.player.hear(sample);
      return button;
    });
    box.replaceChildren(element("strong", { textContent: sentence }), ...buttons.flatMap((button) => [" ", button]));
    keepEnter(box);
  }

  /** The text, with the part marked that is heard now (not the part that is made or sent now). */
  showTranscript(take) {
    const box = this.$("transcript");
    const { position, sounding } = this.player; // at 0 nothing has been heard yet
    const range = take && position > 0 && (take === sounding || take.cursor) ? take.spokenAt(position) : null;
    const key = `${take?.id} ${take?.text.length} ${range}`;
    if (box.dataset.key === key) return;
    box.dataset.key = key;
    box.hidden = !take?.text.trim();
    if (!range) return box.replaceChildren(take?.text ?? "");
    const mark = element("mark", { textContent: take.part(range) });
    box.replaceChildren(take.part([0, range[0]]), mark, take.part([range[1], undefined]));
    const below = mark.offsetTop - box.offsetTop;
    if (below < box.scrollTop || below + mark.offsetHeight > box.scrollTop + box.clientHeight) box.scrollTop = below;
  }

  /** A click on the text plays from the word there. */
  playFrom({ clientX, clientY }) {
    const { take } = this.player;
    const at = document.caretPositionFromPoint?.(clientX, clientY);
    if (!take || !at || !this.$("transcript").contains(at.offsetNode)) return;
    const before = document.createRange();
    before.setStart(this.$("transcript"), 0);
    before.setEnd(at.offsetNode, at.offset);
    const character = [...before.toString()].length;
    const spoken = [...take.words, ...take.ranges].find(({ text_range: [start, stop] }) => start <= character && character < stop);
    if (spoken) this.player.playFrom(take, spoken.start);
  }

  showClip(take) {
    const { clipReason } = this.player;
    const whole = take && take.samples && this.player.settled(take) && take !== this.player.live;
    this.$("clip").hidden = !whole;
    this.audio.hidden = !clipReason;
    const clip = whole ? take.wav : "";
    if (this.audio.dataset.clip === clip) return;
    this.audio.dataset.clip = clip;
    if (!clip) return this.audio.removeAttribute("src");
    const link = this.$("clip").querySelector("a");
    link.href = clip;
    link.download = take.fileName;
    if (!clipReason) return;
    this.audio.src = clip;
    if (take.phase === "complete") this.audio.play().catch(() => {}); // browsers refuse without a recent click; the controls remain
  }

  close() {
    this.player.listeners.delete(this.showSoon);
    this.resized.disconnect();
    this.offTheme();
    cancelAnimationFrame(this.frame);
    cancelAnimationFrame(this.animation);
  }
}

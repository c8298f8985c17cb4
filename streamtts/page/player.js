// The player: takes in, sound out. Notebook panel and the server's page use it, each with a source of its own.
//
// A source has `send(message)`, `asked(ms)` (words while there is no answer), `defaults` (of the settings, built in), `engine`
// (the checkpoint's name) and perhaps `progress` (words), and passes what it receives to `player.receive(message, buffers)`.
// The messages are those of widgets/player.py. The page sends "speak", "rerender", "stop", "position" during playback, a
// "report" at its end, and what is done to takes. It gets "begin", "audio" with one buffer of 16-bit PCM, "replace" where a
// part is made anew, then "end", "stopped" or "error", each with the name of its utterance; later perhaps "verdict". The
// name starts with the id of the page that asked for the utterance, so a second page on the same kernel does not play it.

const CONTEXT_MS = 300; // heard before and after a place that is looped
const POSITION_MS = 250; // between two messages about how far playback is
const PATIENCE_MS = 3000; // after which the state line says more about a request without an answer

class Player {
  constructor(source, { worklet, contextRate }) {
    this.source = source;
    this.client = Math.random().toString(36).slice(2); // crypto.randomUUID is missing where the page is not secure
    this.count = 0;
    this.listeners = new Set();
    this.takes = new Takes();
    this.take = null; // the one that is shown
    this.live = null; // the one that is being spoken: from the click until playback has ended
    this.sounding = null; // the one that the audio thread has
    this.state = "idle"; // of the audio thread
    this.buffered = 0;
    this.clickedAt = null; // ms
    this.region = null; // the selection, [from, to] in samples
    this.looping = true; // whether the selection repeats
    this.passing = null; // something that the kernel says beside the utterance, until the next one
    this.toldAt = 0; // ms; when the kernel was last told how far playback is
    this.pair = { a: null, b: null }; // takes to compare
    this.output = new Output({
      worklet,
      contextRate,
      onReport: (report) => this.fromWorklet(report),
      onFirst: ({ utterance }, leaves) => {
        const take = this.live;
        if (take?.id === utterance && this.clickedAt !== null) take.heardAfter = leaves - this.clickedAt;
      },
      onChange: () => {
        if (this.output.failed && this.live?.phase === "complete") this.finish();
        this.changed();
      },
    });
  }

  changed() {
    for (const listener of this.listeners) listener();
  }

  get clipReason() {
    return this.output.failed;
  }

  // ---- speaking -----------------------------------------------------------------------------------------------------

  /** Asks for an utterance: type "speak" or "rerender". */
  request(type, content) {
    this.output.unlock();
    this.endLive();
    const take = this.start(`${this.client}-${++this.count}`, content);
    this.clickedAt = performance.now();
    this.source.send({ type, utterance: take.id, dark: isDark(), ...content });
    setTimeout(() => this.changed(), PATIENCE_MS + 50);
    this.changed();
  }

  start(id, { text, voice }) {
    this.output.send({ type: "stop" });
    this.state = "idle";
    this.clickedAt = null;
    this.region = this.passing = null;
    const take = (this.live = this.sounding = new Take(id, { text: text ?? this.take?.text ?? "", voice }));
    this.takes.add(take);
    this.pair = { a: this.takes.list.includes(this.take) ? this.take : this.pair.a, b: take };
    this.take = take;
    this.forgetLost();
    return take;
  }

  /** What is being spoken is replaced by something else: it stays a take, with what has arrived. */
  endLive() {
    if (!this.live) return;
    if (!this.settled(this.live)) this.live.phase = "stopped";
    this.live = null;
  }

  settled(take) {
    return take.phase === "complete" || take.phase === "stopped" || take.phase === "failed";
  }

  /** Silence now, whether speech is being made, still arriving, or all there; also a take that is played again. */
  stop() {
    const { live } = this;
    if (this.sounding) this.sounding.cursor = this.output.position();
    this.output.send({ type: "stop" });
    for (const listener of this.listeners) listener("stop"); // a clip that plays in an audio element
    if (live) {
      this.source.send({ type: "stop", utterance: live.id });
      if (live.phase !== "failed") live.phase = "stopped";
      this.finish();
    }
    this.live = this.sounding = null;
    this.state = "idle";
    this.buffered = 0;
    this.changed();
  }

  receive(message, buffers = []) {
    if (message.type === "take") this.fill(message, buffers[0]);
    if (message.type === "verdict") {
      const take = this.takes.find(message.utterance);
      if (take) take.verdict = { sentence: message.sentence, places: message.places ?? [] };
    }
    if (message.type === "notice") this.passing = message.words;
    if (message.type === "begin") this.begin(message);
    const take = this.live;
    if (take && take.id === message.utterance) this.fromKernel(take, message, buffers);
    this.changed();
  }

  begin(message) {
    const { utterance } = message;
    if (this.live?.id !== utterance) {
      if (!utterance.startsWith("kernel-")) return; // another page's
      this.output.unlock(); // without a click the context may stay suspended; the panel shows that
      this.endLive();
      this.start(utterance, message);
    }
    const take = this.live;
    take.phase = "generating";
    take.settings = message.settings ?? take.settings;
    take.voice = message.voice ?? take.voice;
    if (message.text != null) take.setText(message.text);
    take.prebufferMs = message.prebuffer_ms;
    take.expected = (message.expected_s ?? 0) * RATE;
    this.output.send({ type: "begin", utterance, prebuffer: Math.round((message.prebuffer_ms / 1000) * RATE) });
  }

  fromKernel(take, message, buffers) {
    if (message.type === "audio") {
      const pcm = pcm16(buffers[0]);
      const samples = toFloat(pcm);
      take.add(pcm, message);
      if (message.elapsed_ms != null) {
        take.stats.ttfa_ms ??= message.elapsed_ms;
        take.stats.rtf = message.elapsed_ms / (take.samples / RATE) / 1000;
      }
      this.output.send({ type: "audio", samples, waits: message.waits_for_text }, [samples.buffer]);
    }
    if (message.type === "replace") {
      take.cut(message.from_sample);
      take.phase = "generating";
      take.settings = message.settings ?? take.settings;
      this.output.send({ type: "cut", at: message.from_sample });
    }
    if (message.type === "end" || message.type === "stopped") {
      take.phase = message.type === "end" ? "complete" : "stopped";
      for (const [name, value] of Object.entries(message.stats)) if (value != null) take.stats[name] = value;
      take.settings = message.stats.settings ?? take.settings;
      if (!take.seams.length) take.seams = message.stats.seams ?? []; // a server tells them at the end
      this.output.send({ type: message.type === "end" ? "end" : "stop" });
      if (this.clipReason || message.type === "stopped") this.finish();
    }
    if (message.type === "error") {
      take.phase = "failed";
      take.error = message;
      this.output.send({ type: "end" }); // the audio received so far is valid and plays to its end
      if (this.clipReason || !take.samples) this.finish();
    }
  }

  fromWorklet(report) {
    const { sounding } = this;
    if (!sounding) return;
    const ended = report.state === "finished" && this.state !== "finished";
    this.state = report.state;
    this.buffered = report.buffered;
    if (sounding === this.live) {
      sounding.played = Math.max(sounding.played, report.played);
      Object.assign(sounding, { underruns: report.underruns, silence: report.silence, waited: report.waited });
      if (report.state === "playing" && performance.now() - this.toldAt > POSITION_MS) {
        this.toldAt = performance.now();
        this.source.send({ type: "position", utterance: sounding.id, played: report.played });
      }
      if (ended) this.finish();
    }
    this.changed();
  }

  /** The live utterance has been heard, or was stopped: reports to the kernel. */
  finish() {
    const take = this.live;
    if (!take) return;
    this.live = null;
    if (this.state !== "finished") {
      this.sounding = null;
      this.state = "idle";
    }
    this.source.send({
      type: "report",
      utterance: take.id,
      report: {
        outcome: take.phase,
        live: !this.clipReason,
        context_rate: this.output.context?.sampleRate ?? null,
        samples_received: take.samples,
        samples_played: take.played,
        underruns: take.underruns,
        silence_ms: (take.silence / RATE) * 1000,
        waited_for_text_ms: (take.waited / RATE) * 1000,
        heard_after_ms: take.heardAfter,
      },
    });
  }

  // ---- playing a take -----------------------------------------------------------------------------------------------

  get playing() {
    return this.state === "playing" || this.state === "filling" || this.state === "waiting";
  }

  /** The sample that is heard now, of the take that is shown. */
  get position() {
    return this.sounding === this.take && this.take ? this.output.position() : (this.take?.cursor ?? 0);
  }

  /** Shows a take; if something plays that is all there, it goes on in that take at the same instant. */
  select(take) {
    const { position } = this;
    const heard = this.playing && (!this.live || this.live.phase === "complete");
    this.take = take;
    take.cursor = Math.min(position, take.samples);
    if (this.fetchIfMissing(take)) return;
    if (heard && take !== this.sounding) {
      this.finish();
      this.play(take, null);
    }
    this.changed();
  }

  /** Plays a take from this sample; null: from where the one that plays now is. Ends a live utterance. */
  play(take = this.take, from = take.cursor ?? 0) {
    if (!take || this.fetchIfMissing(take) || !take.samples || this.clipReason) return;
    this.output.unlock();
    if (this.live && this.live !== take) this.stop();
    this.take = take;
    if (this.sounding === take && this.state !== "idle") {
      this.output.send({ type: "seek", position: from ?? 0 });
      this.output.send({ type: "resume" });
    } else {
      const samples = take.float();
      this.output.send({ type: "play", utterance: take.id, samples, from }, [samples.buffer]);
      this.sounding = take;
      this.sendLoop();
    }
    this.state = "playing";
    this.changed();
  }

  /** Space: pause and go on; after the end, or of a selection, from the start. */
  toggle() {
    if (!this.take || this.clipReason) return;
    this.output.unlock();
    if (this.sounding === this.take && this.playing) this.output.send({ type: "pause" });
    else if (this.sounding === this.take && this.state === "paused") this.output.send({ type: "resume" });
    else {
      const at = this.position;
      this.play(this.take, this.region ? this.region[0] : at >= this.take.samples - 1 ? 0 : at);
    }
  }

  /** Moves the playhead: playback goes on from there, or will begin there. */
  seek(sample) {
    const { take } = this;
    if (!take) return;
    take.cursor = Math.max(0, Math.min(sample, take.samples));
    if (this.sounding === take && (this.playing || this.state === "paused")) {
      this.output.send({ type: "seek", position: take.cursor });
    } else if (this.sounding === take) {
      this.output.send({ type: "stop" }); // it has finished: from now on the cursor counts
      this.sounding = null;
      this.state = "idle";
    }
    this.changed();
  }

  /** Selects samples [from, to], or nothing; the selection repeats if `looping`. */
  setRegion(region, looping = this.looping) {
    Object.assign(this, { region, looping });
    this.sendLoop();
    this.changed();
  }

  sendLoop() {
    const [from, to] = (this.looping && this.region) || [];
    this.output.send({ type: "loop", from, to });
  }

  /** Loops a place of the shown take with CONTEXT_MS on either side. */
  hear(sample) {
    const around = (CONTEXT_MS / 1000) * RATE;
    this.repeat(sample - around, sample + around);
  }

  /** Plays a take from a word; a selection that does not go on over its start ends. */
  playFrom(take, start) {
    const { region } = this;
    if (region && !(region[0] < start && start < region[1])) this.setRegion(null);
    this.play(take, start);
  }

  /** Loops these samples of the shown take. */
  repeat(from, to) {
    this.setRegion([Math.max(0, from), Math.min(this.take.samples, to)], true);
    this.play(this.take, this.region[0]);
  }

  /** Goes on in the other take of the pair at the same instant; begins with A. */
  compare() {
    const { a, b } = this.pair;
    if (!a || !b) return;
    const next = this.take === a ? b : a;
    if (this.playing) return this.select(next);
    this.select(next);
    this.play(next, next.cursor >= next.samples - 1 ? 0 : next.cursor);
  }

  // ---- takes --------------------------------------------------------------------------------------------------------

  /** Asks the kernel for the audio of a take of an earlier page. Returns whether it is missing. */
  fetchIfMissing(take) {
    if (take.samples || take.seconds == null || take === this.live) return false;
    if (!take.asked) this.source.send({ type: "take", id: take.id });
    take.asked = true;
    this.changed();
    return true;
  }

  fill(message, buffer) {
    const take = this.takes.find(message.id);
    if (!take || take.samples) return;
    take.add(pcm16(buffer), message);
    if (this.take === take) this.changed();
  }

  mergeTakes(entries) {
    this.takes.merge(entries);
    this.forgetLost();
    if (this.take) this.fetchIfMissing(this.take);
    this.changed();
  }

  rename(take, name) {
    take.name = name;
    this.source.send({ type: "rename_take", id: take.id, name });
    this.changed();
  }

  pin(take, pinned) {
    take.pinned = pinned;
    this.source.send({ type: "pin_take", id: take.id, pinned });
    this.changed();
  }

  delete(take) {
    if (take === this.live || take === this.sounding) this.stop();
    this.takes.remove(take);
    this.forgetLost();
    this.source.send({ type: "delete_take", id: take.id });
    this.changed();
  }

  /** Takes that are not in the list any more are neither shown nor compared. */
  forgetLost() {
    const { list } = this.takes;
    if (!list.includes(this.take)) this.take = list[0] ?? null;
    for (const side of ["a", "b"]) if (!list.includes(this.pair[side])) this.pair[side] = null;
  }

  // ---- what the view shows ------------------------------------------------------------------------------------------

  get busy() {
    return this.live !== null || this.playing || this.state === "paused";
  }

  close() {
    for (const take of this.takes.list) take.forgetUrl();
    this.output.close();
    this.live = this.sounding = null;
  }
}

// A new voice: a clip dropped onto the panel, chosen, or recorded. The kernel or the server gets a WAV file, whatever the
// format was.

const VOICE_TOOLS = `
  <button class="new-voice" aria-expanded="false" title="Speak with the voice of a clip: drop one onto this panel, choose a file, or record">New voice …</button>
  <button class="remove-voice" hidden>Remove voice</button>
`;
const VOICE_PANEL = `
  <div class="clip-box" hidden>
    <p>One speaker, 10 to 20 seconds, no music, little echo. <b>Only use a voice whose owner has agreed to it.</b> <span class="clip-where"></span></p>
    <div class="row">
      <label class="pick">name <input type="text" class="voice-name" value="my voice" maxlength="56" aria-label="Name of the new voice"></label>
      <label class="pick"><input type="checkbox" class="consent"> This is my voice, or its owner has agreed</label>
    </div>
    <div class="row">
      <button class="record" disabled>Record</button>
      <label class="file-button" title="Any audio file that this browser can play">Choose a file <input type="file" class="voice-file" accept="audio/*" aria-label="Choose an audio file" disabled></label>
      <span class="faint">or drop a file anywhere on this panel</span>
    </div>
    <p class="clip-said" role="status"></p>
  </div>
`;
const LONGEST_RECORDING_S = 20;
const FORM_BYTES = 1000; // of a request, beside the clip

class VoiceTools {
  /**
   * `host`: { where, largest, area, refresh(), add(name, wav), own(voice), remove(voice) }: where the clip goes, as a
   * sentence; the most bytes of it, if there is a limit; where files may be dropped, if not on the panel; how to look for
   * voices that were added elsewhere; makes a voice, which is a promise of { voice, made_ms, report } or fails with words;
   * whether a voice may be removed here, and how. Without `remove` none may.
   */
  constructor(view, host) {
    Object.assign(this, { root: view.root, host });
    this.$ = (name) => view.$(name);
    this.$("pick").insertAdjacentHTML("afterend", VOICE_TOOLS);
    this.$("pick").closest(".row").insertAdjacentHTML("afterend", VOICE_PANEL);
    this.$("clip-where").textContent = host.where;
    this.$("new-voice").onclick = () => this.open(this.$("clip-box").hidden);
    this.$("remove-voice").onclick = () => this.remove(this.$("voice").value);
    this.$("consent").onchange = () => this.allow();
    this.$("record").onclick = () => (this.recorder ? this.recorder.stop() : this.record());
    this.$("voice-file").onchange = ({ target }) => {
      if (target.files[0]) this.use(target.files[0]);
      target.value = "";
    };
    this.letFilesBeDropped(host.area ?? this.root);
    const menu = this.$("voice");
    for (const event of ["pointerdown", "focus"]) menu.addEventListener(event, () => host.refresh()?.catch(() => {})); // clips that were added elsewhere since
    menu.addEventListener("change", () => this.show());
    this.show();
  }

  letFilesBeDropped(area) {
    const files = ({ dataTransfer }) => [...dataTransfer.types].includes("Files");
    area.addEventListener("dragover", (event) => {
      if (!files(event)) return;
      event.preventDefault();
      event.stopPropagation(); // JupyterLab would upload the file
      this.root.classList.add("dropping");
    });
    area.addEventListener("dragleave", () => this.root.classList.remove("dropping"));
    area.addEventListener("drop", (event) => {
      this.root.classList.remove("dropping");
      if (!files(event)) return;
      event.preventDefault();
      event.stopPropagation();
      this.open(true);
      if (event.dataTransfer.files[0]) this.use(event.dataTransfer.files[0]);
    });
  }

  open(wanted) {
    this.$("clip-box").hidden = !wanted;
    this.$("new-voice").ariaExpanded = String(wanted);
    if (wanted) this.$("consent").focus();
    else this.drop();
  }

  /** Nothing is recorded or kept for later any more. */
  drop() {
    this.dropped = null;
    this.wanted = false;
    this.recorder?.stop();
  }

  allow() {
    const agreed = this.$("consent").checked;
    if (agreed && this.dropped) this.use(this.dropped);
    else if (!agreed) this.drop();
    this.show();
  }

  /** A file becomes a voice now if its owner has agreed, else as soon as the box is ticked. */
  use(file) {
    if (this.making || this.recorder) return this.say("One clip at a time: this one was left out.", true);
    if (this.$("consent").checked) return this.take(file, file.name.replace(/\.[^.]*$/, ""));
    this.dropped = file;
    this.say(`${file.name} is ready. Tick the box above, and it becomes a voice.`);
  }

  /** What may be pressed now. */
  show() {
    const free = this.$("consent").checked && !this.making;
    disable(this.$("voice-file"), !free || Boolean(this.recorder), this.$("consent"));
    disable(this.$("record"), !free || !navigator.mediaDevices, this.$("consent"));
    this.$("record").textContent = this.recorder ? "Stop recording" : "Record";
    if (!navigator.mediaDevices) this.$("record").title = "Browsers give the microphone to secure pages (https or localhost) only";
    const voice = this.$("voice").value;
    this.$("remove-voice").hidden = !this.host.remove || !this.host.own(voice);
    this.$("remove-voice").title = `Delete the clip of ${voice}, which was added in this browser`;
  }

  say(words, bad = false) {
    this.$("clip-said").textContent = words;
    this.$("clip-said").dataset.bad = bad;
  }

  async record() {
    if (this.asking) return;
    this.asking = true; // the browser asks whether it may; the button keeps the keyboard meanwhile
    try {
      const raw = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
      const stream = await navigator.mediaDevices.getUserMedia({ audio: raw });
      const stop = () => stream.getTracks().forEach((track) => track.stop());
      if (!this.$("consent").checked) return stop(); // taken back meanwhile
      const parts = [];
      const recorder = (this.recorder = new MediaRecorder(stream));
      const began = performance.now();
      const tick = setInterval(() => {
        const seconds = (performance.now() - began) / 1000;
        this.say(`Recording, ${seconds.toFixed(0)} s: read anything aloud, at least 5 s, best 10 or more.`);
        if (seconds >= LONGEST_RECORDING_S) recorder.stop();
      }, 200);
      recorder.ondataavailable = ({ data }) => parts.push(data);
      recorder.onstop = () => {
        clearInterval(tick);
        stop();
        this.recorder = null;
        if (this.wanted) this.take(new Blob(parts), this.$("voice-name").value);
        else this.say("The recording was thrown away.");
        this.show();
      };
      this.wanted = true;
      recorder.start();
    } catch (fault) {
      this.recorder = null;
      this.say(`The microphone cannot be used: ${fault.message}. Allow it in the browser's address bar.`, true);
    } finally {
      this.asking = false;
    }
    this.show();
  }

  /** Decodes a file in the browser, hands it on as WAV, and says what came of it. */
  async take(file, name) {
    this.dropped = null;
    this.making = true;
    this.show();
    try {
      const wav = await this.read(file);
      const { voice, made_ms, report } = await this.host.add(name.trim() || "my voice", wav);
      const judged = report ? [`The clip is ${report.quality} (${report.score} of 100).`, ...report.faults] : [];
      this.say([`Voice ${voice} is ready, made in ${((made_ms ?? 0) / 1000).toFixed(1)} s.`, ...judged].join(" "));
      this.$("consent").checked = false; // the next clip may be of somebody else
    } catch (fault) {
      this.say(fault.message, true);
    }
    this.making = false;
    this.show();
  }

  /** The file as WAV: one channel of 16 bits. */
  async read(file) {
    this.say("Reading the clip …");
    const context = new OfflineAudioContext(1, 1, RATE);
    const audio = await context.decodeAudioData(await file.arrayBuffer()).catch(() => {
      throw new Error("This browser cannot read that file as audio. WAV, MP3, M4A, OGG and FLAC work in most.");
    });
    const most = (this.host.largest - FORM_BYTES) / 2 / RATE;
    if (audio.duration > most) {
      throw new Error(`The clip is too large: it is ${Math.ceil(audio.duration)} s long, and at most ${Math.floor(most)} s may be sent. 10 to 20 s are enough.`);
    }
    const mono = new Int16Array(audio.length);
    for (let c = 0; c < audio.numberOfChannels; c++) {
      audio.getChannelData(c).forEach((value, i) => (mono[i] += (Math.max(-1, Math.min(1, value)) * 32767) / audio.numberOfChannels));
    }
    this.say(`Making a voice of ${audio.duration.toFixed(1)} s …`);
    return wavBlob([mono], audio.sampleRate);
  }

  async remove(voice) {
    if (!confirm(`Remove the voice ${voice}? Its clip is deleted, and nobody can speak with it any more.`)) return;
    try {
      await this.host.remove(voice);
      this.say(`Voice ${voice} is removed.`);
      this.$("voice").focus();
    } catch (fault) {
      this.open(true);
      this.say(fault.message, true);
    }
    this.show();
  }

  close() {
    this.drop();
  }
}

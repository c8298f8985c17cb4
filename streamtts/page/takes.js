// Takes: every utterance with its audio, text, settings and figures. The newest ten are kept, and those that are pinned.

const KEPT = 10; // takes that are not pinned
const BUCKET = 120; // samples per stored waveform peak: 5 ms

/** A WAV file of 16-bit chunks. */
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

/** One utterance. `phase`: asked, generating, complete, stopped, failed; a take of an earlier page may have no audio yet. */
class Take {
  constructor(id, { text = "", voice = "", name = "", settings = null } = {}) {
    Object.assign(this, { id, text, voice, name, settings });
    this.phase = "asked";
    this.pinned = false;
    this.chunks = []; // Int16Array each
    this.samples = 0;
    this.seams = []; // samples
    this.words = []; // { text_range, start, end }: characters of the text; samples
    this.ranges = []; // { start, text_range }: which part of the text is spoken from this sample on
    this.peaks = []; // [low, high] per BUCKET samples
    this.bucket = { low: 0, high: 0, filled: 0 };
    this.stats = {};
    this.verdict = null; // { sentence, places: [{ sample, what }] }
    this.error = null; // { code, message }
    this.played = 0; // samples, while it was spoken
    this.underruns = this.silence = this.waited = 0; // events; samples; samples
    this.heardAfter = null; // ms from the click to the first sound
    this.prebufferMs = 0;
    this.url = null; // of the WAV file
    this.seconds = null; // of audio that is still in the kernel
  }

  /** Adds a chunk of 16-bit audio. */
  add(pcm, { seams = [], words = [], text_range = null } = {}) {
    this.chunks.push(pcm);
    this.seams.push(...seams);
    if (text_range && String(this.ranges.at(-1)?.text_range) !== String(text_range)) {
      this.ranges.push({ start: this.samples, text_range });
    }
    for (const word of words ?? []) this.addWord(word); // null: the words are not known
    this.samples += pcm.length;
    for (const value of pcm) {
      const { bucket } = this;
      bucket.low = Math.min(bucket.low, value);
      bucket.high = Math.max(bucket.high, value);
      if (++bucket.filled === BUCKET) {
        this.peaks.push([bucket.low / 32767, bucket.high / 32767]);
        this.bucket = { low: 0, high: 0, filled: 0 };
      }
    }
    this.forgetUrl();
  }

  /** A word comes once when it begins, and again when its end is known. */
  addWord(word) {
    const known = this.words.findIndex((w) => w.text_range[0] === word.text_range[0] && w.start === word.start);
    if (known >= 0) this.words[known] = word;
    else this.words.push(word);
  }

  /** All samples from -1 to 1. */
  float() {
    const all = new Float32Array(this.samples);
    let at = 0;
    for (const chunk of this.chunks) {
      all.set(toFloat(chunk), at);
      at += chunk.length;
    }
    return all;
  }

  /** The characters of the text that are spoken at this sample, [start, stop]: a word, or the sentence around it. */
  spokenAt(sample) {
    const before = (list) => list.findLast((entry) => entry.start <= sample);
    return (before(this.words) ?? before(this.ranges))?.text_range ?? null;
  }

  /** Where the word at this place of the list is heard, [from, to] in samples: up to the next one while its end is not known. */
  span(at) {
    const { start, end } = this.words[at];
    const later = this.words.map((word) => word.start).filter((other) => other > start);
    return [start, end ?? Math.min(...later, this.samples)];
  }

  /** A word's own characters. The kernel counts characters, not UTF-16 units. */
  part([start, stop]) {
    this.characters ??= [...this.text];
    return this.characters.slice(start, stop).join("");
  }

  setText(text) {
    this.text = text;
    this.characters = null;
  }

  /** Drops everything from this sample on. */
  cut(sample) {
    const chunks = this.chunks;
    const { seams, words, ranges } = this;
    Object.assign(this, { chunks: [], samples: 0, seams: [], words: [], ranges: [], peaks: [], bucket: { low: 0, high: 0, filled: 0 } });
    for (const chunk of chunks) if (this.samples < sample) this.add(chunk.subarray(0, sample - this.samples));
    this.seams = seams.filter((seam) => seam < sample);
    this.words = words.filter((word) => word.start < sample);
    this.ranges = ranges.filter((range) => range.start < sample);
  }

  get excerpt() {
    const text = this.text.trim().replace(/\s+/g, " ");
    return text.length > 60 ? `${text.slice(0, 60).replace(/\s+\S*$/, "")} …` : text;
  }

  get title() {
    return this.name || this.excerpt || "Speech";
  }

  get fileName() {
    const words = this.title.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");
    return `${words.slice(0, 40) || "speech"}.wav`;
  }

  /** Address of the WAV file, made when it is first asked for. */
  get wav() {
    return (this.url ??= this.samples ? URL.createObjectURL(wavBlob(this.chunks, RATE)) : null);
  }

  forgetUrl() {
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = null;
  }
}

/** The list, newest first, and what is done to it. */
class Takes {
  constructor() {
    this.list = [];
    this.listed = new Set(); // ids that the kernel has named
  }

  find(id) {
    return this.list.find((take) => take.id === id);
  }

  /** Adds a take. Old ones go, and those with nothing to hear: stopped at once, or failed. */
  add(take) {
    this.list = [take, ...this.list.filter((other) => other.pinned || other.samples || other.seconds != null)];
    const old = this.list.filter((other) => !other.pinned).slice(KEPT);
    for (const other of old) this.remove(other);
  }

  remove(take) {
    take.forgetUrl();
    this.list = this.list.filter((other) => other !== take);
  }

  /** Takes the kernel's list: names, pins and takes of an earlier page; those it has dropped go. */
  merge(entries) {
    const ids = new Set(entries.map((entry) => entry.id));
    for (const entry of entries) {
      const { id, name, pinned, text, voice, stats, verdict } = entry;
      let take = this.find(id);
      if (!take) {
        take = new Take(id, { text, voice });
        take.phase = "complete";
        this.list.push(take);
      }
      Object.assign(take, { name: name ?? "", pinned: Boolean(pinned), seconds: entry.seconds ?? null });
      take.settings = entry.all_settings ?? stats?.settings ?? take.settings ?? entry.settings ?? null;
      if (stats) take.stats = stats;
      if (verdict && verdict !== take.verdict?.sentence) take.verdict = { sentence: verdict, places: [] };
    }
    for (const take of [...this.list]) if (this.listed.has(take.id) && !ids.has(take.id)) this.remove(take);
    this.listed = ids;
  }
}

/** The settings of a take that differ from the defaults, as [name, value]. */
function changedSettings(take, defaults) {
  if (!take.settings) return [];
  return Object.entries(take.settings).filter(([name, value]) => !defaults || defaults[name] !== value);
}

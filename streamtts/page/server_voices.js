// Voices that this browser adds to the server, and may remove again: it remembers which are its own.

const OWN_VOICES = "streamtts-voices";

class ServerVoices {
  /** `suffix`: the token, for addresses; `show(voices, chosen)`: puts the names into the menu. */
  constructor(suffix, show) {
    Object.assign(this, { suffix, show });
    this.area = document.documentElement; // a file that is dropped beside the panel would otherwise replace the page
    this.where = "The clip is sent to this server and stays there until the voice is removed. Everybody who may use the server can speak with it.";
  }

  get all() {
    try {
      return JSON.parse(localStorage.getItem(OWN_VOICES)) ?? [];
    } catch {
      return [];
    }
  }

  own(voice) {
    return this.all.includes(voice);
  }

  keep(voices) {
    localStorage.setItem(OWN_VOICES, JSON.stringify(voices));
  }

  async ask(path, options) {
    const answer = await fetch(`/voices${path}${this.suffix}`, options).catch(() => {
      throw new Error("The server cannot be reached. Is it still running?");
    });
    if (answer.status === 401) throw new Error("The server wants its token. Open this page by the address that the server printed when it started.");
    const body = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(body.message ?? `The server refused it (${answer.status}).`);
    return body;
  }

  /** Shows the voices that there are now; own ones that are gone are forgotten. */
  async refresh(chosen) {
    const { voices } = await this.ask("");
    this.keep(this.all.filter((voice) => voices.includes(voice)));
    this.show(voices, chosen);
  }

  async add(name, wav) {
    const body = new FormData();
    body.append("file", wav, "clip.wav");
    body.append("name", name);
    body.append("replace", "false");
    const { name: voice, ...about } = await this.ask("", { method: "POST", body });
    this.keep([...this.all, voice]);
    await this.refresh(voice);
    return { voice, ...about };
  }

  async remove(voice) {
    await this.ask(`/${encodeURIComponent(voice)}`, { method: "DELETE" }).finally(() => this.refresh());
  }
}

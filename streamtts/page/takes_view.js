// The list of takes: play, compare, pin, rename, copy, download, delete.

const ROW = `
  <span class="sides" role="group" aria-label="Compare">
    <label title="Compare this one as A"><input type="radio" class="side-a"> A</label>
    <label title="Compare this one as B"><input type="radio" class="side-b"> B</label>
  </span>
  <span class="about"><button class="title" title="Show this take; while one plays, go on in this one"></button>
    <input type="text" class="rename" aria-label="Name of the take" hidden><span class="excerpt"></span>
    <span class="numbers"></span><span class="said"></span><code class="copied" hidden></code></span>
  <span class="does">
    <button class="pin" aria-pressed="false" title="Keep this take: only ten that are not pinned are kept">Pin</button>
    <a class="download" title="Download this take as a WAV file">WAV</a>
    <details class="more"><summary>More</summary><div class="menu"></div></details>
  </span>
`;

class TakeRow {
  constructor(player, take, group, actions) {
    Object.assign(this, { player, take });
    this.root = element("li", { className: "take", innerHTML: ROW });
    this.$("title").onclick = () => player.select(take);
    this.$("pin").onclick = () => player.pin(take, !take.pinned);
    for (const side of ["a", "b"]) {
      this.$(`side-${side}`).name = `${group}-${side}`;
      this.$(`side-${side}`).onchange = () => {
        player.pair[side] = take;
        player.changed();
      };
    }
    const menu = (words, act) => {
      const button = element("button", { textContent: words });
      button.onclick = async () => {
        button.textContent = (await act()) ?? words;
        if (button.textContent === words) this.$("more").open = false;
        else setTimeout(() => (button.textContent = words), 1500);
      };
      this.$("menu").append(button);
    };
    menu("Rename", () => this.rename());
    for (const format of ["Python", "command", "JSON"]) {
      menu(`Copy as ${format}`, async () => {
        const { defaults, engine } = player.source;
        const happened = await copyText(copies({ ...take, defaults, engine })[format], this.$("copied"));
        this.$("copied").hidden = happened === "Copied";
        return happened;
      });
    }
    for (const [action, words] of actions) menu(words, () => this.act(action));
    menu("Delete", () => this.delete());
    this.$("more").name = group; // one is open at a time
    this.$("more").onkeydown = ({ key }) => {
      if (key !== "Escape") return;
      this.$("more").open = false;
      this.$("more").querySelector("summary").focus();
    };
    this.$("more").addEventListener("focusout", ({ relatedTarget }) => {
      if (relatedTarget && !this.$("more").contains(relatedTarget)) this.$("more").open = false; // it would cover what comes next
    });
    this.$("rename").onkeydown = (event) => {
      if (event.key !== "Enter" && event.key !== "Escape") return;
      event.stopPropagation();
      this.renamed(event.key === "Enter");
    };
    this.$("rename").onblur = () => this.renamed(true);
    keepEnter(this.root);
  }

  $(name) {
    return this.root.querySelector(`.${name}`);
  }

  act(action) {
    const { id, title: name, text, voice, settings } = this.take;
    this.player.source.send({ type: "take_action", action, take: { id, name, text, voice, settings } });
  }

  /** The keyboard goes on in the take below, or above, or in the text. */
  delete() {
    const next = this.root.nextElementSibling ?? this.root.previousElementSibling;
    (next?.querySelector(".title") ?? this.root.closest(".streamtts-panel").querySelector(".text")).focus();
    this.player.delete(this.take);
  }

  rename() {
    this.$("title").hidden = true;
    this.$("rename").hidden = false;
    this.$("rename").value = this.take.title;
    this.$("rename").select();
    this.$("rename").focus();
  }

  renamed(save) {
    if (this.$("rename").hidden) return;
    this.$("rename").hidden = true;
    this.$("title").hidden = false;
    this.$("title").focus();
    if (save) this.player.rename(this.take, this.$("rename").value.trim());
  }

  show() {
    const { player, take } = this;
    const set = (name, text) => {
      if (this.$(name).textContent !== text) this.$(name).textContent = text;
    };
    set("title", take.title);
    set("excerpt", take.name ? take.excerpt : "");
    const { ttfa_ms, rtf } = take.stats;
    const made = [
      take.samples || take.seconds == null ? `${inSeconds(take.samples)} s` : `${take.seconds.toFixed(2)} s`,
      take.voice,
      ttfa_ms == null ? null : `first audio ${inMs(ttfa_ms)}`,
      rtf == null ? null : `RTF ${rtf.toFixed(2)}`,
      take.underruns ? `${take.underruns} underrun${take.underruns > 1 ? "s" : ""}` : null,
      { stopped: "stopped", failed: "failed" }[take.phase],
      ...changedSettings(take, player.source.defaults).map(([name, value]) => `${name} ${value}`),
    ];
    set("numbers", made.filter(Boolean).join(" · "));
    set("said", take.verdict?.sentence ?? "");
    set("pin", take.pinned ? "Pinned" : "Pin");
    this.$("pin").ariaPressed = String(take.pinned);
    this.root.classList.toggle("shown", take === player.take);
    this.$("title").ariaCurrent = String(take === player.take);
    for (const side of ["a", "b"]) this.$(`side-${side}`).checked = player.pair[side] === take;
    const whole = take.samples && player.settled(take);
    this.$("does").querySelector(".download").hidden = !whole;
    if (!whole) return;
    this.$("download").href = take.wav;
    this.$("download").download = take.fileName;
  }
}

class TakesView {
  constructor(player, root, actions) {
    Object.assign(this, { player, root, actions });
    this.rows = new Map();
    this.group = `streamtts-${Math.random().toString(36).slice(2)}`; // radio buttons of two panels must not mix
    root.innerHTML = `<div class="row takes-head"><h3>Takes</h3><button class="compare" title="Go on in the other of A and B at
      the same instant (x, on the waveform)">Switch A/B</button><span class="heard-side"></span></div><ul></ul>`;
    this.compare = root.querySelector(".compare");
    this.compare.onclick = () => player.compare();
    keepEnter(root);
  }

  show() {
    const { player, rows } = this;
    const { list } = player.takes;
    this.root.hidden = !list.length;
    for (const take of list) if (!rows.has(take)) rows.set(take, new TakeRow(player, take, this.group, this.actions()));
    for (const take of [...rows.keys()]) if (!list.includes(take)) rows.delete(take);
    const items = list.map((take) => rows.get(take).root);
    const ul = this.root.querySelector("ul");
    for (const item of [...ul.children]) if (!items.includes(item)) item.remove();
    items.forEach((item, i) => ul.children[i] !== item && ul.insertBefore(item, ul.children[i] ?? null)); // others keep the focus
    for (const row of rows.values()) row.show();
    const { a, b } = player.pair;
    this.compare.disabled = !a || !b || a === b || Boolean(player.clipReason);
    const side = player.take === a ? "A" : player.take === b ? "B" : "";
    this.root.querySelector(".heard-side").textContent = this.compare.disabled ? "Choose two takes to compare." : side && `now ${side}`;
  }
}

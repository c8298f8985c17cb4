// What helps with the text: examples, length, pauses and tags. The text itself is the panel's `.text`.

const EXAMPLES = [
  ["Short", "Good morning."],
  ["Numbers", "On 3 May 2026 at 9:30 a.m. we sold 1,250 tickets for $18.50 each, 12% more than in 2025."],
  [
    "Long",
    "The train to the coast leaves at nine, and the next one not before noon. If you miss it, there is a bus from the market square, but it stops in every village. " +
      "Most people take a book. The last part of the way runs along the cliffs, and on a clear day you can see the islands. Bring a coat: there is always wind.",
  ],
  ["Pauses", "Wait for it. [pause 1s] There it is. [short pause] And once more, slowly."],
  ["Markdown", "## What to do\n\n1. **Open** the `settings` page.\n2. Choose *Audio*, then press [Save](https://example.com).\n\nThat is all!"],
];
const TAGGED = ["Tags", "Oh, that is good. [laugh] [sigh] All right, let us go on."];
const TEXT_TOOLS = `
  <div class="row text-tools">
    <span class="chips" role="group" aria-label="Examples"></span>
    <button class="chip pause" title="Insert a pause of one second where the cursor is">+ pause</button>
    <select class="insert" aria-label="Insert a sound or a mood" title="Inserted where the cursor is"></select>
    <span class="count faint" aria-live="off"></span>
  </div>
`;
const SECONDS_PER_CHARACTER = 1.7 / 25; // of English
const MOST = 5000; // characters that are spoken at once

class TextTools {
  constructor(root, model) {
    this.model = model;
    this.text = root.querySelector(".text");
    this.text.insertAdjacentHTML("beforebegin", TEXT_TOOLS);
    this.$ = (name) => root.querySelector(`.${name}`);
    // Below the buttons: what appears above them would move them away under the mouse.
    this.$("speak").closest(".row").insertAdjacentHTML("afterend", `<p class="old-text" role="status" hidden></p>`);
    for (const [name, words] of [...EXAMPLES, ...(this.model.get("tags").length ? [TAGGED] : [])]) {
      const chip = this.$("chips").appendChild(document.createElement("button"));
      chip.textContent = name;
      chip.className = "chip";
      chip.title = words;
      chip.onclick = () => this.write(words);
    }
    const insert = this.$("insert");
    const tags = this.model.get("tags");
    insert.hidden = !tags.length; // only some checkpoints know any
    insert.append(new Option("+ sound …", ""), ...tags.map((tag) => new Option(tag, tag)));
    insert.onchange = () => (this.insert(insert.value), (insert.value = ""));
    this.$("pause").onclick = () => this.insert("[pause 1s]");
    this.show = () => {
      const { value } = this.text;
      const length = [...value].length;
      const seconds = length * SECONDS_PER_CHARACTER;
      this.$("count").textContent = length > MOST ? `${length} characters: at most ${MOST} are spoken at once` : `${length} characters, about ${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
      const spoken = this.model.get("spoken");
      const old = this.model.get("can_rerender") && spoken && spoken !== value;
      this.$("old-text").hidden = !old;
      if (old) this.$("old-text").textContent = `Re-render and the sliders go on with the text that was spoken (“${spoken.length > 60 ? `${spoken.slice(0, 60)} …` : spoken}”). Speak says the new one.`;
    };
    this.text.addEventListener("input", this.show);
    this.later = () => queueMicrotask(this.show); // after the panel has written the new text
    model.on("change:text change:spoken change:can_rerender", this.later);
    this.show();
  }

  /** Puts a tag where the cursor is. */
  insert(tag) {
    const { selectionStart: at, value } = this.text;
    const gap = at && !/\s$/.test(value.slice(0, at)) ? " " : "";
    this.write(`${value.slice(0, at)}${gap}${tag} ${value.slice(at).trimStart()}`);
    this.text.focus();
    this.text.selectionStart = this.text.selectionEnd = at + gap.length + tag.length + 1;
  }

  write(words) {
    this.text.value = words;
    this.text.dispatchEvent(new Event("input"));
    this.text.dispatchEvent(new Event("change"));
  }

  close() {
    this.model.off("change:text change:spoken change:can_rerender", this.later);
  }
}

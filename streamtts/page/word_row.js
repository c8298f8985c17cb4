// The words under the time axis: each is a button that plays from there, or with Shift repeats the word.

const WORD_PX = 24; // height of a row of words: the least that WCAG 2.2 allows for a target
const WORD_ROWS = 3;

class WordRow {
  constructor(player, box, plot) {
    Object.assign(this, { player, box, plot });
    this.shown = "";
    box.onkeydown = (event) => this.walk(event);
  }

  /** Words under the axis, in up to three rows; where they are too dense some are left out until one zooms in. */
  show() {
    const { box, plot } = this;
    const { take } = this.player;
    const width = plot.canvas.clientWidth;
    const key = String([take?.id, take?.words.length, plot.range, width]);
    if (key === this.shown) return;
    this.shown = key;
    box.hidden = !take?.words.length;
    const ends = Array(WORD_ROWS).fill(-Infinity); // where the last word of each row ends, in pixels
    const focused = [...box.children].find((button) => button === document.activeElement)?.at;
    const buttons = [];
    plot.pen.font = "12px system-ui, sans-serif";
    for (const [at, word] of (take?.words ?? []).entries()) {
      const left = plot.x(word.start);
      if (left < 0 || left > width) continue;
      const text = take.part(word.text_range).trim();
      const size = Math.max(WORD_PX, plot.pen.measureText(text).width + 10);
      const start = Math.min(left, width - size);
      const row = ends.findIndex((end) => start >= end);
      if (row < 0) continue;
      ends[row] = start + size + 2;
      const button = element("button", { className: "word", textContent: text, at, tabIndex: -1 });
      button.title = `Play from ${inSeconds(word.start)} s${word.estimated ? " (estimated)" : ""}; with Shift, repeat this word`;
      button.onclick = ({ shiftKey }) => (shiftKey ? this.player.repeat(...take.span(at)) : this.player.playFrom(take, word.start));
      Object.assign(button.style, { left: `${start}px`, top: `${row * WORD_PX}px`, width: `${size}px` });
      buttons.push(button);
    }
    box.style.height = `${WORD_PX * ends.filter((end) => end > 0).length}px`;
    box.replaceChildren(...buttons);
    keepEnter(box);
    const kept = buttons.find(({ at }) => at >= (focused ?? 0)) ?? buttons.at(-1);
    if (kept) kept.tabIndex = 0;
    if (focused !== undefined) (kept ?? plot.canvas).focus({ preventScroll: true }); // more words came, or the view moved on
  }

  /** One tab stop for all words; the arrow keys go from one to the next. */
  walk(event) {
    const words = [...this.box.children];
    const at = words.indexOf(document.activeElement);
    const next = { ArrowLeft: words[at - 1], ArrowRight: words[at + 1], Home: words[0], End: words.at(-1) }[event.key];
    if (!next) return;
    for (const word of words) word.tabIndex = word === next ? 0 : -1;
    next.focus();
    event.preventDefault();
  }

  /** Marks the word that is heard, by its place in the list of words. */
  mark(spoken) {
    for (const button of this.box.children) button.classList.toggle("now", button.at === spoken);
  }
}

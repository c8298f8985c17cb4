// The player in a notebook: the kernel is its source, the widget's model carries the messages.

/** The kernel as the source of a player. */
class Kernel {
  constructor(model) {
    this.model = model;
  }

  send(message) {
    this.model.send(message);
  }

  /** Words while a request has no answer. */
  asked(ms) {
    if (ms < PATIENCE_MS) return "Waiting for the kernel";
    return KERNEL_GONE;
  }

  /** What the kernel says of its work on the newest utterance, in words. */
  get progress() {
    return this.model.get("progress")?.words;
  }

  get defaults() {
    return this.model.get("defaults");
  }

  get engine() {
    return this.model.get("engine");
  }
}

/** How a clip becomes a voice here. */
function voiceHost(model) {
  return {
    where: "The clip stays on the kernel's machine, in the folder of voices.",
    refresh: () => model.send({ type: "voices" }),
    add: async (name, wav) => {
      const answered = new Promise((resolve) => {
        const receive = (message) => {
          if (message.type !== "clip") return;
          model.off("msg:custom", receive);
          resolve(message);
        };
        model.on("msg:custom", receive);
      });
      model.send({ type: "clip", name }, undefined, [await wav.arrayBuffer()]);
      const answer = await answered;
      if (answer.refused) throw new Error(answer.refused);
      return answer;
    },
  };
}

/** One view of a player in a notebook; the notebook may show several. */
class PlayerPanel {
  constructor(player, model, el) {
    Object.assign(this, { player, model });
    this.view = new PlayerView(player, el, {
      madeBy: "kernel",
      content: () => ({ text: this.$("text").value, voice: this.$("voice").value }),
      rerender: () => model.get("can_rerender"),
      actions: () => model.get("take_actions") ?? [],
      use: (found) => {
        model.send({ type: "remedy", ...(found.setting ? { setting: found.setting } : { prebuffer_ms: found.prebuffer_ms }) });
        player.request("rerender", { voice: this.$("voice").value });
      },
    });
    this.root = this.view.root;
    this.connect();
    this.tools = [new TextTools(this.root, model), new VoiceTools(this.view, voiceHost(model))];
    keepEnter(this.root);
    this.unwatch = watchKernel(model, this.root, (gone) => {
      player.passing = gone ? KERNEL_GONE : null;
      player.changed();
    });
    this.view.show();
  }

  /** The element of this class. */
  $(name) {
    return this.view.$(name);
  }

  connect() {
    const { model } = this;
    const save = (trait, value) => {
      model.set(trait, value);
      model.save_changes();
    };
    this.$("text").onchange = () => save("text", this.$("text").value);
    this.$("voice").onchange = () => save("voice", this.$("voice").value);
    this.showSince = () => this.countSeconds(model.get("progress")?.since);
    this.showText = () => (this.$("text").value = model.get("text"));
    this.showVoices = () => {
      this.$("voice").replaceChildren(...model.get("voices").map((name) => new Option(name, name)));
      this.$("voice").value = model.get("voice");
    };
    model.on("change:text", this.showText);
    model.on("change:voices change:voice", this.showVoices);
    model.on("change:can_rerender change:progress", this.view.showSoon);
    model.on("change:progress", this.showSince);
    this.showText();
    this.showVoices();
  }

  /** Counts the seconds since the kernel began to prepare something, such as a voice, beside the state line. */
  countSeconds(counting) {
    clearInterval(this.counter);
    this.$("since").hidden = !counting;
    if (!counting) return;
    const began = performance.now();
    const count = () => (this.$("since").textContent = `${((performance.now() - began) / 1000).toFixed(1)} s`);
    this.counter = setInterval(count, 100);
    count();
  }

  close() {
    clearInterval(this.counter);
    this.unwatch();
    this.tools.forEach((tool) => tool.close());
    this.model.off("change:progress", this.showSince);
    this.view.close();
    this.model.off("change:text", this.showText);
    this.model.off("change:voices change:voice", this.showVoices);
    this.model.off("change:can_rerender change:progress", this.view.showSoon);
  }
}

export default () => {
  let player;
  return {
    initialize({ model }) {
      player = new Player(new Kernel(model), {
        worklet: () => {
          const url = URL.createObjectURL(new Blob([model.get("worklet")], { type: "text/javascript" }));
          return [url, () => URL.revokeObjectURL(url)];
        },
        contextRate: model.get("context_rate"),
      });
      const receive = (message, buffers) => player.receive(message, buffers);
      const merge = () => player.mergeTakes(model.get("takes") ?? []);
      model.on("msg:custom", receive);
      model.on("change:takes", merge);
      merge();
      const stopOnEscape = ({ key }) => key === "Escape" && player.busy && player.stop(); // wherever the focus is
      document.addEventListener("keydown", stopOnEscape, true);
      return () => {
        document.removeEventListener("keydown", stopOnEscape, true);
        model.off("msg:custom", receive);
        model.off("change:takes", merge);
        player.close();
      };
    },
    render({ model, el }) {
      const panel = new PlayerPanel(player, model, el);
      return () => panel.close();
    },
  };
};

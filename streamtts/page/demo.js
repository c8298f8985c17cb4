// The server's page: the player with the server's session as its source, a field per setting, and no notebook.

const STORED = "streamtts-text"; // the text survives a reload of the page

async function openPage() {
  const asked = new URLSearchParams(location.search); // token, and perhaps voice
  const $ = (id) => document.getElementById(id);
  const values = {}; // of the settings that were changed
  const inputs = new Map();
  const source = new Session({
    token: asked.get("token"),
    ready: ({ engine, voices, limits }) => {
      $("engine").textContent = source.engine = engine;
      showVoices(voices, view.$("voice").value || asked.get("voice"));
      ownVoices.largest = limits.clip_bytes;
      if (limits.clip_bytes) voiceTools ??= new VoiceTools(view, ownVoices);
    },
    used: (take) => {
      view.$("text").value = take.text;
      view.$("voice").value = take.voice;
      for (const [name, value] of Object.entries(take.settings ?? {})) set(name, value);
    },
  });
  const player = (source.player = new Player(source, { worklet: () => [`/worklet.js${source.suffix}`, () => {}] }));
  const view = new PlayerView(player, $("player"), {
    madeBy: "server",
    content: () => {
      const { prebuffer_ms, ...settings } = values;
      return {
        text: view.$("text").value,
        voice: view.$("voice").value || "default",
        settings,
        prebuffer_ms: prebuffer_ms ?? inputs.get("prebuffer_ms").field.default,
        wordsPerSecond: Math.max(1, Number($("pace").value) || 1),
      };
    },
    actions: () => [["use", "Use these settings"]],
    use: ({ setting, prebuffer_ms }) => {
      for (const [name, value] of Object.entries(setting ?? { prebuffer_ms })) set(name, value);
      view.speak();
    },
  });

  const ownVoices = new ServerVoices(source.suffix, (voices, chosen) => showVoices(voices, chosen ?? view.$("voice").value));
  let voiceTools = null; // only where the server lets clients add voices

  function showVoices(voices, chosen) {
    const menu = view.$("voice");
    const shown = [...menu.options].map(({ value }) => value);
    if (shown.join("\n") !== voices.join("\n")) menu.replaceChildren(...voices.map((name) => new Option(name, name))); // an open menu would close
    menu.value = voices.includes(chosen) ? chosen : voices[0];
    voiceTools?.show();
  }

  /** Gives a setting this value, in its input too; the server's own values are not sent. */
  function set(name, value) {
    const { field, show } = inputs.get(name) ?? {};
    if (!field) return;
    if (value === null || value === field.default) delete values[name];
    else values[name] = value;
    show(value ?? field.default);
  }

  view.$("rerender").hidden = true;
  view.$("pick").after($("pace-label"));
  view.$("text").value = sessionStorage.getItem(STORED) ?? $("first-text").textContent.trim().replace(/\s+/g, " ");
  view.$("text").oninput = () => sessionStorage.setItem(STORED, view.$("text").value);
  view.$("meters").after($("settings"));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.defaultPrevented) player.stop(); // anywhere on the page, not only on the player
  });
  const { fields, defaults } = await (await fetch(`/settings${source.suffix}`)).json();
  source.defaults = defaults;
  buildFields(fields, view.$("fields"), (field, value) => set(field.name, value), inputs);
  for (const { field } of inputs.values()) set(field.name, field.default);
  $("reset").onclick = () => [...inputs.keys()].forEach((name) => set(name, null));
  source.connect();
  view.show();
  window.streamtts = { player, view }; // to look at in the console
}

openPage();

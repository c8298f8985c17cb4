// The sliders, built by inputs.js. The kernel sets `fields` once; `values` {name: value} is shared: either side may change it.

const CONTROLS = `
  <div class="row head">
    <label class="pick" title="A slider moved while speech plays changes the chunks that come next. Moved later, the speech is rendered again by itself"><input type="checkbox" class="live"> Live: a moved slider acts at once</label>
    <span class="spring"></span>
    <label class="pick">preset <select class="preset" aria-label="Preset" title="Settings that were saved under a name"></select></label>
    <button class="save" title="Save these settings under a name, for server, command line and notebooks">Save as …</button>
    <button class="defaults" title="Everything back to its initial value">Defaults</button>
  </div>
  <form class="row naming" hidden><label class="pick">name <input class="name" aria-label="Name of the preset" pattern="[a-z0-9][a-z0-9_\\-]{0,39}" required title="lower-case letters, digits, - and _, at most 40"></label><button>Save</button></form>
  <div class="groups"></div>
  <div class="row">
    <button class="copy" data-copy="Python" title="This text with these settings, as Python">Copy as Python</button>
    <button class="copy" data-copy="command" title="As a command for a terminal">Copy as command</button>
    <button class="copy" data-copy="JSON" title="As a request to the server">Copy as JSON</button>
    <button class="serve" title="Start the server with these settings">Serve with this</button>
    <span class="said faint" role="status"></span>
  </div>
`;

function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "streamtts-panel streamtts-controls";
  root.innerHTML = CONTROLS;
  const $ = (name) => root.querySelector(`.${name}`);
  const inputs = new Map();
  let timer = 0;
  const send = (name, value, dragged) => {
    model.set("values", { ...model.get("values"), [name]: value });
    clearTimeout(timer);
    if (dragged) timer = setTimeout(() => model.save_changes(), 80); // only the newest value of a drag
    else model.save_changes(); // before anything that is pressed next
  };
  buildFields(model.get("fields"), $("groups"), (field, value, dragged) => send(field.name, value, dragged), inputs);
  const show = () => {
    for (const [name, input] of inputs) input.show(model.get("values")[name]);
    $("live").checked = model.get("live");
    $("said").textContent = model.get("note");
    const names = model.get("presets");
    $("preset").replaceChildren(new Option(names.length ? "choose …" : "none saved", ""), ...names.map((n) => new Option(n, n)));
    $("preset").disabled = !names.length;
  };
  $("live").onchange = () => (model.set("live", $("live").checked), model.save_changes());
  $("defaults").onclick = () => {
    model.set("values", Object.fromEntries(model.get("fields").map((f) => [f.name, f.default])));
    model.save_changes();
  };
  $("preset").onchange = () => $("preset").value && model.send({ type: "preset", name: $("preset").value });
  $("save").onclick = () => {
    $("naming").hidden = !$("naming").hidden;
    if (!$("naming").hidden) $("name").focus();
  };
  $("naming").onsubmit = (event) => {
    event.preventDefault();
    model.send({ type: "save_preset", name: $("name").value });
    $("naming").hidden = true;
    $("save").focus();
  };
  $("serve").onclick = () => model.send({ type: "serve" });
  for (const button of root.querySelectorAll(".copy")) {
    button.onclick = async () => {
      const said = await copyText(copies(model.get("shown"))[button.dataset.copy], $("said"));
      if (said === "Copied") $("said").textContent = said;
    };
  }
  keepEnter(root);
  ownEnter(root);
  const traits = "change:values change:live change:presets change:note";
  model.on(traits, show);
  show();
  el.append(root);
  return () => {
    model.off(traits, show);
    clearTimeout(timer);
  };
}

export default { render };

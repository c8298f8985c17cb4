// A button that launches and stops the server, and a command to copy. The kernel sets `url`, `command` and `error`.

const MARKUP = `
  <div class="row">
    <button class="launch"></button>
    <span class="address" role="status"></span>
  </div>
  <p class="error" role="alert" hidden></p>
  <div class="row line" hidden><code></code><button class="copy">Copy</button></div>
`;

/** The clipboard is for secure contexts only. Elsewhere this selects the command, ready for Ctrl+C. */
async function copy(code) {
  if (navigator.clipboard) return navigator.clipboard.writeText(code.textContent).then(() => "Copied", () => select(code));
  return select(code);
}

function select(code) {
  getSelection().selectAllChildren(code);
  return "Press Ctrl+C";
}

function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "streamtts-panel";
  root.innerHTML = MARKUP;
  keepEnter(root);
  el.append(root);
  const $ = (selector) => root.querySelector(selector);

  const show = () => {
    const url = model.get("url");
    $(".launch").textContent = url ? "Stop server" : "Launch server";
    $(".address").textContent = url ? `listening on ${url}` : "The server is not running.";
    $(".error").hidden = !model.get("error");
    $(".error").textContent = model.get("error");
    $(".line").hidden = !model.get("command");
    $("code").textContent = model.get("command");
    $(".copy").textContent = "Copy";
  };
  $(".launch").onclick = () => model.send({ type: model.get("url") ? "stop" : "launch" });
  $(".copy").onclick = async () => ($(".copy").textContent = await copy($("code")));
  const traits = "change:url change:command change:error";
  model.on(traits, show);
  show();
  return () => model.off(traits, show);
}

export default { render };

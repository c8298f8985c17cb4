// A button that launches and stops the server, a command to copy, and a link. The kernel sets `url`, `command`, `page`, `error`.

const MARKUP = `
  <div class="row">
    <button class="launch"></button>
    <span class="address" role="status"></span>
    <a class="open" target="_blank" rel="noopener" hidden title="The server's own page: the same player without a notebook">Open its page</a>
  </div>
  <p class="error" role="alert" hidden></p>
  <div class="row line" hidden><code></code><button class="copy">Copy</button></div>
`;

function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "streamtts-panel";
  root.innerHTML = MARKUP;
  keepEnter(root);
  ownEnter(root);
  el.append(root);
  const $ = (selector) => root.querySelector(selector);

  const show = () => {
    const url = model.get("url");
    $(".launch").textContent = url ? "Stop server" : "Launch server";
    $(".launch").title = url ? "Clients that are still receiving get the rest first" : "Serve with the settings and the voice of this panel";
    $(".address").textContent = url ? `listening on ${url}` : "The server is not running.";
    $(".open").hidden = !url;
    $(".open").href = model.get("page");
    $(".error").hidden = !model.get("error");
    $(".error").textContent = model.get("error");
    $(".line").hidden = !model.get("command");
    $("code").textContent = model.get("command");
    $(".copy").textContent = "Copy";
  };
  $(".launch").onclick = () => model.send({ type: model.get("url") ? "stop" : "launch" });
  $(".copy").onclick = async () => ($(".copy").textContent = (await copyText(model.get("command"), $("code"))) === "Copied" ? "Copied" : "Press Ctrl+C");
  const traits = "change:url change:command change:page change:error";
  model.on(traits, show);
  show();
  // Where the kernel has gone, what it said last is not true any more.
  const lost = watchKernel(model, root, (gone) => {
    root.classList.toggle("gone", gone);
    $(".launch").disabled = gone;
    if (gone) $(".address").textContent = KERNEL_GONE;
    else show();
  });
  return () => {
    lost();
    model.off(traits, show);
  };
}

export default { render };

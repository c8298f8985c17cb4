// The clients of the server, one row each. The kernel sets `clients`; a pressed button sends {type: "kick", id}.

const whole = (value) => (value === null ? "–" : value.toFixed(0));
const COLUMNS = [
  ["client", (c) => c.id],
  ["address", (c) => c.address],
  ["endpoint", (c) => c.endpoint],
  ["state", (c) => c.state],
  ["connected (s)", (c) => whole(c.connected_s)],
  ["answers", (c) => c.answers],
  ["first audio (ms)", (c) => whole(c.ttfa_ms)],
  ["RTF", (c) => (c.rtf === null ? "–" : c.rtf.toFixed(2))],
  ["longest underrun (ms)", (c) => whole(c.max_underrun_ms)],
];
const WORDS = 4; // the first columns hold words, the others numbers

function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "streamtts-panel";
  const table = root.appendChild(document.createElement("table"));
  table.className = "clients";
  table.createCaption().textContent = "Clients. The figures are of the current answer, or of the latest one.";
  const head = table.createTHead().insertRow();
  for (const [title] of [...COLUMNS, [""]]) head.appendChild(document.createElement("th")).textContent = title;
  const body = table.createTBody();
  const empty = body.insertRow().insertCell();
  empty.colSpan = COLUMNS.length + 1;
  empty.textContent = "No client has connected yet.";
  el.append(root);

  const rows = new Map(); // by client id; a row keeps its element, so that its button can be clicked while the table updates
  const newRow = (id) => {
    const row = document.createElement("tr");
    COLUMNS.forEach((_, k) => (row.insertCell().className = k < WORDS ? "word" : "number"));
    const button = row.insertCell().appendChild(document.createElement("button"));
    button.textContent = "Kick";
    button.title = `Close the connection of client ${id}`;
    keepEnter(row);
    button.onclick = () => {
      button.disabled = true;
      model.send({ type: "kick", id });
    };
    return row;
  };
  const show = () => {
    const clients = model.get("clients");
    const order = clients.map(({ id }) => {
      if (!rows.has(id)) rows.set(id, newRow(id));
      return rows.get(id);
    });
    clients.forEach((client, k) => {
      const row = order[k];
      row.dataset.state = client.state;
      COLUMNS.forEach(([, text], column) => (row.cells[column].textContent = text(client)));
      row.querySelector("button").hidden = client.state === "left" || client.state === "kicked";
    });
    const wanted = order.length ? order : [empty.parentElement];
    if (wanted.length !== body.rows.length || wanted.some((row, k) => row !== body.rows[k])) body.replaceChildren(...wanted);
    for (const [id, row] of rows) if (!order.includes(row)) rows.delete(id);
  };
  model.on("change:clients", show);
  show();
  return () => model.off("change:clients", show);
}

export default { render };

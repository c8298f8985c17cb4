// A form of settings: one slider, box or list per field (fields.py says which), in groups.

/** The unit beside the number; tokens also as time. */
function inUnits(value, unit) {
  return unit === "tokens" ? `tokens, ${value * 40} ms` : unit === "x" ? "times the chunk before" : unit;
}

/** The input of one field: { field, row, show(value) }; `changed(value, dragged)` is called when a person moves it. */
function buildInput(field, changed) {
  const row = element("div", { className: `field ${field.kind}`, title: field.help });
  row.append(element("label", { textContent: field.caption }));
  const make = (tag, properties, accessory = "") => {
    const input = element(tag, { ...properties, ariaLabel: field.caption + accessory });
    row.append(input);
    return input;
  };
  if (field.kind === "choice") {
    const select = make("select", {});
    for (const choice of field.choices) select.append(new Option(choice, choice));
    select.onchange = () => changed(select.value);
    return { field, row, show: (value) => (select.value = value) };
  }
  if (field.kind === "box") {
    const box = make("input", { type: "checkbox" });
    box.onchange = () => changed(box.checked);
    return { field, row, show: (value) => (box.checked = value) };
  }
  const slider = field.kind === "slider" && make("input", { type: "range", min: field.low, max: field.slider_high, step: field.step });
  const exact = make("input", { type: "number", min: field.low, max: field.high, step: "any" }, ", exact");
  const unit = row.appendChild(element("span", { className: "unit faint" }));
  const show = (value) => {
    if (slider) slider.value = value;
    if (document.activeElement !== exact || Number(exact.value) !== value) exact.value = value;
    unit.textContent = inUnits(value, field.unit);
  };
  if (slider) {
    slider.oninput = () => (show(Number(slider.value)), changed(Number(slider.value), true));
    slider.onchange = () => changed(Number(slider.value));
  }
  exact.onchange = () => {
    const whole = Number.isInteger(field.step) && field.unit !== "ms" && field.unit !== "s";
    const asked = exact.value === "" ? field.default : Number(exact.value); // "": also what is no number
    const value = Math.min(field.high, Math.max(field.low, whole ? Math.round(asked) : asked));
    show(value);
    changed(value);
  };
  return { field, row, show };
}

/** All fields in a fieldset per group. `changed(field, value, dragged)`; `inputs` is filled with the inputs by name. */
function buildFields(fields, root, changed, inputs) {
  for (const field of fields) {
    let group = [...root.children].find((g) => g.dataset.group === field.group);
    if (!group) {
      group = root.appendChild(element("fieldset", {}, element("legend", { textContent: field.group })));
      group.dataset.group = field.group;
    }
    const input = buildInput(field, (value, dragged) => changed(field, value, dragged));
    inputs.set(field.name, input);
    group.append(input.row);
  }
}

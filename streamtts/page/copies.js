// An utterance as text for the clipboard.

const pythonValue = (value) => (value === null ? "None" : value === true ? "True" : value === false ? "False" : JSON.stringify(value));
const shellWord = (text) => (/^[\w.,/:=-]+$/.test(text) && !text.startsWith("-") ? text : `'${text.replaceAll("'", `'"'"'`)}'`);

/**
 * By name: Python, command (of a terminal) and JSON (a request to the server). `settings` may be all of them: those that
 * are not the `defaults` are written down. `engine` is what `streamtts.load` takes.
 */
function copies({ text, voice, settings, defaults, engine }) {
  const changed = Object.entries(settings ?? {}).filter(([name, value]) => value !== defaults?.[name]);
  const own = changed.length ? `, settings=streamtts.Settings(${changed.map(([name, value]) => `${name}=${pythonValue(value)}`).join(", ")})` : "";
  const said = voice && voice !== "default" ? voice : "";
  const model = engine && engine !== "mini" ? engine : "";
  const words = text.trim() ? text : "Hello"; // a command needs something to say, and a leading dash would be an option
  const sets = changed.filter(([, value]) => value !== null).map(([name, value]) => ` --set ${name}=${shellWord(String(value))}`);
  return {
    // A JSON string is a Python string.
    Python:
      `import streamtts\n\nmodel = streamtts.load(${model && JSON.stringify(model)})\n` +
      `speech = streamtts.stream(model, ${JSON.stringify(text)}${said && `, ${JSON.stringify(said)}`}${own}).collect()\n`,
    command:
      `streamtts say ${shellWord(words.startsWith("-") ? ` ${words}` : words)} --play${model && ` --model ${shellWord(model)}`}` +
      `${said && ` --voice ${shellWord(said)}`}${sets.join("")}`,
    JSON: JSON.stringify({ text, voice, ...Object.fromEntries(changed) }, null, 1),
  };
}

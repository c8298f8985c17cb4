// OpenAI's SDK for Node against the server in OPENAI_BASE_URL. Reads commands from standard input, one JSON object a
// line, and answers each with one line: {"save": {...}, "to": path} or {"begin": {...}} and then {"abort": true}.
import fs from "node:fs";
import readline from "node:readline";
import OpenAI from "openai";

const client = new OpenAI({ apiKey: "none", maxRetries: 0 });
const say = (values) => console.log(JSON.stringify(values));
let abort = null;

for await (const line of readline.createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  try {
    if (asked.save) {
      const answer = await client.audio.speech.create(asked.save);
      fs.writeFileSync(asked.to, Buffer.from(await answer.arrayBuffer()));
      say({ type: answer.headers.get("content-type") });
    } else if (asked.begin) {
      abort = new AbortController();
      const answer = await client.audio.speech.create(asked.begin, { signal: abort.signal });
      const reader = answer.body.getReader();
      const first = await reader.read();
      say({ bytes: first.value.length });
    } else if (asked.abort) {
      abort.abort();
      say({ aborted: true });
    } else {
      say({ models: (await client.models.list()).data.map((model) => model.id) });
    }
  } catch (fault) {
    say({ status: fault.status, code: fault.code, message: fault.message });
  }
}

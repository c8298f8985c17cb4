// What the player says about itself in words.

/** [kind, words] of the state line. */
function stateLabel(player) {
  const { source, state, live, sounding } = player;
  const take = live ?? player.take;
  const again = player.region && player.looping ? "Playing in a loop" : null; // a place may be looped before the end
  if (!take) return ["idle", "Ready"];
  if (sounding && sounding !== live && state !== "finished") {
    if (player.output.blocked) return ["blocked", "Sound is blocked: click here"];
    return state === "paused" ? ["idle", "Paused"] : ["playing", again ?? "Playing again"];
  }
  if (take.phase === "failed" && !player.busy) return ["failed", "Failed"];
  if (take.phase === "stopped") return ["idle", "Stopped"];
  if (take.phase === "asked") return ["busy", source.progress || source.asked(performance.now() - player.clickedAt)];
  if (!take.samples && take.phase === "generating") return ["busy", source.progress || "Generating"];
  if (player.clipReason) return take.phase === "complete" ? ["done", "Clip ready"] : ["busy", "Collecting the clip"];
  if (!live) return state === "finished" ? ["done", "Finished"] : ["idle", "Ready"];
  if (player.output.blocked) return ["blocked", "Sound is blocked: click here"];
  if (state === "paused") return ["idle", "Paused"];
  if (state === "waiting") return ["busy", "Waiting for more text"];
  if (state === "filling" && take.played) return ["failed", "Underrun: waiting for audio"];
  if (state === "playing") return ["playing", again ?? "Playing"];
  return ["busy", "Buffering"];
}

/** After underruns: what happened, and the setting or the buffer that ends them; else null. */
function remedy({ take }) {
  if (!take?.underruns) return null;
  const ms = Math.round((take.silence / RATE) * 1000);
  const times = take.underruns === 1 ? "once" : `${take.underruns} times`;
  const length = ms < 2000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`;
  const words = `The sound stopped ${times}, for ${length} in all: the audio came too late.`;
  const policy = take.settings?.policy;
  if (policy && policy !== "cached") return { words, label: "Use policy cached", setting: { policy: "cached" } };
  const prebuffer_ms = Math.ceil((take.prebufferMs + ms * 1.25) / 50) * 50; // a quarter more than was missing
  return { words, label: `Buffer ${prebuffer_ms} ms`, prebuffer_ms };
}

/** The figures of a take, as text by the class of their place in the panel. */
function figures(player, take) {
  const stats = take?.stats ?? {};
  const gaps = take?.underruns ? `${take.underruns} (${inMs((take.silence / RATE) * 1000)})` : "0";
  const digits = (take?.samples ?? 0) < 10 * RATE ? 2 : 1;
  return {
    heard: inMs(take?.heardAfter),
    kernel: inMs(stats.ttfa_ms),
    rtf: stats.rtf == null ? "–" : stats.rtf.toFixed(2),
    buffered: inMs(take && take === player.sounding ? (player.buffered / RATE) * 1000 : 0),
    underruns: take ? gaps : "0",
    waited: inMs(((take?.waited ?? 0) / RATE) * 1000),
    audio: `${inSeconds(take?.played ?? 0, digits)} / ${inSeconds(take?.samples ?? 0, digits)} s`,
    share: inShare(player, take),
    chunks: String(take?.chunks.length ?? 0),
  };
}

/** How much of the text has been heard: its words where they are known, else of its audio, which may still be an estimate. */
function inShare(player, take) {
  if (!take?.samples) return "–";
  const heard = take === player.live ? take.played : player.position;
  const word = take.words.findLast(({ start }) => start <= heard);
  const share = word ? word.text_range[1] / [...take.text].length : heard / Math.max(take.samples, player.settled(take) ? 0 : take.expected);
  return `${Math.round(100 * Math.min(1, share || 0))} %`;
}

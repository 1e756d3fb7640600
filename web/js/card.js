// The card of a stage: LoRAs as chips, settings in one line, the prompt that is encoded with what was added, time and
// memory as bars; each line unfolds to the evidence. `intelligence/generation/card.py` makes the data.
import { copyText, make } from "./common.js";
import { counted, decimals, duration, memory, sentence, t, translation, word } from "./language.js";

/** The lines of a card, one for each part that it has. `open`: with the evidence unfolded; `place`: among several cards. */
export function cardLines(card, open = false, place = 0) {
  const lines = {
    loras: card.loras && loraLine(card.loras),
    settings: card.settings && settingsLine(card.settings),
    prompt: card.prompt && promptLine(card),
    time: card.time && timeLine(card.time),
    memory: card.memory && memoryLine(card.memory),
    left_out: card.left_out?.length && leftOutLine(card.left_out),
    seeds: card.seeds?.length && line([label(card.seeds.length > 1 ? t("Seeds") : t("Seed")), card.seeds.join(", ")], []),
    notes: card.notes?.length && line([label(t("Notes")), String(card.notes.length)], [list(card.notes.map(translation))], true),
  };
  const told = Object.entries(lines).filter(([, each]) => each);
  for (const [name, each] of told) {
    const folded = [each, ...each.querySelectorAll("details")].filter(({ tagName }) => tagName === "DETAILS");
    folded.forEach((one) => (one.dataset.line = place ? `${name} ${place}` : name));
    if (open) folded.forEach((one) => (one.open = true));
  }
  return told.map(([, each]) => each);
}

/** A line that unfolds; without evidence, a plain one. */
function line(summary, evidence, open = false) {
  if (!evidence.length) return make("div", "ig-plain", ...summary.flatMap((part) => [part, " "]));
  const made = make("details", "", make("summary", "", ...summary), ...evidence);
  made.open = open;
  return made;
}

function label(text) {
  return make("span", "ig-label", text);
}

function list(texts) {
  return make("ul", "", ...texts.map((text) => make("li", "", text)));
}

function reasons(why) {
  return list(why.map(sentence));
}

function chip(name, number, title = "") {
  const made = make("span", "ig-chip", name, number && make("b", "", number));
  made.title = title;
  return made;
}

function loraLine(loras) {
  const chips = loras.map(({ name, strength, confidence, named }) =>
    chip(name, decimals(strength, { minimumFractionDigits: 2, maximumFractionDigits: 2 }), named ? t("named by you") : t("confidence {percent} %", { percent: Math.round(100 * confidence) })),
  );
  const evidence = loras.map(({ name, why }) => make("div", "", label(name), reasons(why)));
  return line([label(t("LoRAs")), ...(chips.length ? chips : [t("none")])], evidence);
}

function leftOutLine(left) {
  const heading = counted(left.length, t("1 left out: why"), t("{count} left out: why"));
  return line([make("span", "ig-dim", heading)], [list(left.map(({ name, why }) => `${name}: ${why.map(sentence).join("; ")}`))]);
}

const IN_LINE = {
  steps: (value) => t("{value} steps", { value }),
  cfg: (value) => `CFG ${value}`,
  guidance: (value) => t("guidance {value}", { value }),
  images: (value) => t("{value} images", { value }),
  best_of: (value) => t("number {place} of {tried} tried", { place: value.split("/")[0], tried: value.split("/")[1] }),
};

function settingsLine(settings) {
  const shown = settings.filter(({ value }) => value).map(({ setting, value }) => IN_LINE[setting]?.(value) ?? value);
  const evidence = settings
    .filter(({ why }) => why.length)
    .map(({ setting, value, why }) => make("div", "", label(setting === "best_of" ? IN_LINE[setting](value) : `${word(setting)} ${value}`), reasons(why)));
  return line([label(t("Settings")), shown.join(" · ")], evidence);
}

function promptLine({ prompt, negative, why }) {
  const copy = make("button", "ig-button ig-small", t("Copy"));
  copy.addEventListener("click", () => {
    copyText(textOf(prompt)).then(
      () => (copy.textContent = t("Copied")),
      (error) => (copy.textContent = error.message),
    );
  });
  const unwanted = textOf(negative).trim() ? colored(negative) : [t("none")];
  const more = make("details", "", make("summary", "ig-dim", t("Negative prompt"), ": ", ...unwanted), reasons(why));
  return make("div", "ig-plain", label(t("Prompt")), " ", ...colored(prompt), " ", copy, more);
}

function textOf(pieces) {
  return pieces.map(([text]) => text).join("");
}

function colored(pieces) {
  return pieces.map(([text, added]) => {
    if (!added) return text;
    const mark = make("mark", "ig-added", text);
    mark.title = t("added to your prompt");
    return mark;
  });
}

function bar(share, className = "", over = false) {
  const fill = make("i", over ? "ig-over" : "");
  fill.style.width = `${Math.min(100, 100 * share)}%`;
  return make("div", `ig-bar ${className}`, fill);
}

function timeLine({ predicted, between, limit, took }) {
  const scale = Math.max(predicted ?? 0, took ?? 0, limit ?? 0) || 1;
  const texts = [];
  const bars = [];
  if (took != null) {
    texts.push(t("took {time}", { time: duration(took) }));
    bars.push(bar(took / scale, "", limit && took > limit));
  }
  if (predicted != null) {
    texts.push(t("predicted {time}", { time: duration(predicted) }));
    bars.push(bar(predicted / scale, "ig-foretold"));
  }
  if (!texts.length) texts.push(t("not known on this device yet"));
  const evidence = [];
  if (between) evidence.push(list([t("9 of 10 runs like this take {low} to {high}", { low: duration(between[0]), high: duration(between[1]) })]));
  else if (predicted != null) evidence.push(list([t("a cautious guess: the speed of this device is not known yet")]));
  if (limit) evidence.push(list([t("limit {time}", { time: duration(limit) })]));
  const made = line([label(t("Time")), texts.join(", ")], evidence);
  (made.querySelector("summary") ?? made).append(make("div", "ig-wide", ...bars));
  return made;
}

function memoryLine({ predicted, peak, budget, fits, stages, device, seconds, why }) {
  const scale = budget ?? Math.max(predicted, peak ?? 0, ...Object.values(stages)) ?? 1;
  const texts = [peak != null && t("used {memory}", { memory: memory(peak) }), t("predicted {memory}", { memory: memory(predicted) })];
  if (budget != null) texts.push(t("of {memory} on {device}", { memory: memory(budget), device: word(device) }));
  const rows = Object.entries(stages).map(([stage, gib]) =>
    make("div", "", `${word(stage)} ${memory(gib)}`, bar(gib / scale, "ig-foretold", budget != null && gib > budget)),
  );
  const more = seconds == null ? [] : [make("div", "ig-dim", t("about {time}", { time: duration(seconds) }))];
  const made = line([label(t("Memory")), texts.filter(Boolean).join(", ")], [...rows, reasons(why), ...more], !fits);
  const bars = [peak != null && bar(peak / scale), bar(predicted / scale, "ig-foretold", !fits)];
  made.querySelector("summary").append(make("div", "ig-wide", ...bars.filter(Boolean)));
  return made;
}

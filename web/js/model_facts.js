// What is known of a model, and how it is known, as the details show it.
import { make } from "./common.js";
import { later, t, translation, word } from "./language.js";

const SHOWN_PREVIEW = /^$|\.(png|jpe?g|webp)$/i;

/** How a fact was found, as the server notes it → what a person reads; {text} is its first group. */
const SOURCES = [
  [/^tag (.+)$/, later("its tags say “{text}”")],
  [/^(?:file )?name:? (.+)$/, later("its name says “{text}”")],
  [/^title: (.+)$/, later("its title says “{text}”")],
  [/^ss_sd_model_name: (.+)$/, later("it was trained on “{text}”")],
  [/^(?:ss_\w+|modelspec\.\w+)(?:: (.+))?$/, later("its file says so")],
  [/^architecture (.+)$/, later("by its network")],
  [/^(?:cross-attention|vectors of|text encoder with|tensor names with|\d+ of \d+ modules) ?(.*)$/s, later("names and shapes of its tensors")],
  [/^header$/, later("its file says so")],
  [/^you$/, later("you said so")],
];

function sourceText(source) {
  for (const [pattern, text] of SOURCES) {
    const found = pattern.exec(source);
    if (found) return t(text, { text: found[1] ?? "" });
  }
  return translation(source);
}

const KNOWN = later("How it is known");

const known = (...texts) => [...new Set(texts)].filter((text) => text && text !== "unknown").join(", ");

/** Types of LoRAs, as their papers spell them; others stand as the server names them. */
const LORA_TYPES = { lora: "LoRA", locon: "LoCon", loha: "LoHa", lokr: "LoKr", glora: "GLoRA", oft: "OFT", dora: "DoRA" };

/** Label → its text in a model's record; empty ones are left out. */
const DETAILS = {
  [later("Base model")]: (m) => word(m.base),
  [later("Kind")]: (m) => known(word(m.lora_kind), m.lora_type && (LORA_TYPES[m.lora_type] ?? m.lora_type), m.rank && t("rank {rank}", { rank: m.rank })),
  [later("Strength")]: ({ strength, strength_range: range }) =>
    [strength, range && t("from {low} to {high}", { low: range[0], high: range[1] })].filter((part) => part != null).join(", "),
  [later("Strength on the text encoders")]: (m) => m.strength_clip,
  [later("Tags")]: (m) => Object.keys(m.tags).slice(0, 30).join(", "),
  [later("Creator")]: (m) => m.creator,
  [later("Licence")]: (m) => m.license_notes,
  [later("Description")]: (m) => m.description,
  [later("Example prompts")]: (m) =>
    m.example_prompts
      .slice(0, 5)
      .map(({ prompt, weight }) => (weight == null ? prompt : `${weight}: ${prompt}`))
      .join("\n"),
  [KNOWN]: (m) =>
    Object.entries(m.findings)
      .map(([field, found]) => [word(field), found, Math.round(100 * found.confidence)])
      .map(([field, { value, source }, percent]) => `${field} ${translation(value)}: ${sourceText(source)} (${percent} %)`)
      .join("\n"),
  [later("Preview, not shown here")]: (m) => (SHOWN_PREVIEW.test(m.preview_path ?? "") ? "" : m.preview_path),
  [later("The same file again")]: (m) => m.copies.join("\n"),
  [later("File")]: (m) => m.local_path,
};

/** The rows of a model's record. */
export function knownRows(model) {
  return Object.entries(DETAILS)
    .map(([label, read]) => [label, read(model)])
    .filter(([, text]) => text)
    .map(([label, text]) => make(...(label === KNOWN ? ["details", "", make("summary", "ig-dim", t(label))] : ["div", "", make("div", "ig-dim", t(label))]), make("div", "ig-text", String(text))));
}

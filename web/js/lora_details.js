// One LoRA: what is known of it, how it was used, what a person may correct, and the ways to use it.
import { address, call, copyText, make } from "./common.js";
import { currentCheckpoint, targetNode } from "./library_cards.js";
import { addLoras } from "./lora_rows.js";
import { decimals, language, t, word } from "./language.js";
import { knownRows } from "./model_facts.js";

const USUAL_STRENGTH = 0.8;
const KINDS = ["style", "character", "concept", "effect", "speed"];

/** The details' view. `back` leaves it; `changed` runs after the library has changed; `tell(error)` shows a problem. */
export function loraDetails(id, { back, changed, tell }) {
  const root = make("div", "ig-column ig-scroll");
  const attempt = (work) => async () => {
    try {
      await work();
    } catch (error) {
      tell(error.message);
    }
  };
  const correct = (change) => attempt(async () => (draw(await call("/model/correct", { name: id, ...change })), changed()));
  const draw = async (model) => {
    const usageOf = call(`/library/usage?name=${encodeURIComponent(id)}`);
    const [kept, usage, checkpoint] = await Promise.all([call("/library/sets"), usageOf, currentCheckpoint()]);
    root.replaceChildren(
      button(t("Back"), back),
      make("h3", "ig-heading", `${model.favourite ? "★ " : ""}${model.title || model.name}`),
      preview(model),
      ways(model, kept, checkpoint, { attempt, correct, redraw: () => draw(model), changed }),
      make("div", "ig-dim", used(usage)),
      triggers(model),
      corrections(model, correct),
      ...knownRows(model),
    );
  };
  attempt(async () => draw(await call(`/model?name=${encodeURIComponent(id)}`)))();
  return root;
}

function button(text, act, pressed) {
  const made = make("button", "ig-button", text);
  made.addEventListener("click", act);
  if (pressed !== undefined) made.setAttribute("aria-pressed", pressed);
  return made;
}

function preview(model) {
  const picture = make("img", "ig-preview");
  picture.alt = "";
  picture.addEventListener("error", () => picture.remove());
  picture.src = address(`/preview?optional=1&name=${encodeURIComponent(model.model_id)}`);
  return picture;
}

/** The ways to use it: now, always, never. */
function ways(model, kept, checkpoint, { attempt, correct, redraw, changed }) {
  const lora = model.model_id.split(":").slice(1).join(":");
  const strength = model.strength ?? USUAL_STRENGTH;
  const always = kept.always.find((entry) => entry.lora === lora);
  const set = (body) => attempt(async () => (await call("/library/always", { lora, ...body }), await redraw(), changed()));
  const use = attempt(async () => {
    const node = targetNode();
    if (!node) throw new Error(t("Select the LoRA Recommend node that shall use it."));
    addLoras(node, [{ lora, strength }]);
  });
  const everywhere = always && !always.checkpoint;
  const here = always && always.checkpoint === checkpoint && checkpoint;
  return make(
    "div",
    "ig-row",
    button(t("Use"), use),
    button(everywhere ? t("Not always") : t("Use always"), set({ strength: everywhere ? null : strength }), Boolean(everywhere)),
    checkpoint && button(here ? t("Not always with this checkpoint") : t("Always with this checkpoint"), set(here ? { strength: null } : { strength, checkpoint }), Boolean(here)),
    button(model.excluded ? t("Suggest it again") : t("Never suggest"), correct({ exclude: !model.excluded }), model.excluded),
    button(model.favourite ? t("No favourite") : t("Favourite"), correct({ favourite: !model.favourite }), model.favourite),
    Object.keys(model.correction).length > 0 && button(t("Undo my corrections"), correct({ reset: true })),
  );
}

function used({ stars, rated, used: count, last_used: last }) {
  if (!count) return t("Not used yet");
  const when = new Date(last).toLocaleDateString(language());
  const often = count === 1 ? t("Used once, on {date}", { date: when }) : t("Used {count} times, last on {date}", { count, date: when });
  return stars == null ? often : `${often}; ${t("{stars} stars on average ({count} rated)", { stars: decimals(stars, { minimumFractionDigits: 1, maximumFractionDigits: 1 }), count: rated })}`;
}

/** Trigger words as chips that copy themselves. */
function triggers(model) {
  const chips = model.trigger_sets.flatMap(({ words }) => words).map((text) => {
    const chip = make("button", "ig-chip", text);
    chip.title = t("Copy");
    chip.addEventListener("click", () => copyText(text).then(() => Object.assign(chip, { textContent: `${text} ✓`, title: t("Copied") })));
    return chip;
  });
  return chips.length > 0 && make("div", "", make("div", "ig-dim", t("Trigger words")), make("div", "ig-row", ...chips));
}

/** What a person knows better: base, kind, trigger words, strength. */
function corrections(model, correct) {
  const fields = {
    base: field("text", model.correction.base ?? model.base_model ?? ""),
    kind: kinds(model.lora_kind),
    triggers: field("text", model.trigger_sets.map(({ words }) => words.join(", ")).join("; ")),
    strength: field("number", model.strength ?? ""),
  };
  Object.assign(fields.strength, { min: -4, max: 4, step: 0.05 });
  const read = {
    base: (text) => text.trim() || null,
    kind: (text) => text || null,
    triggers: (text) => text.split(";").map((set) => set.trim()).filter(Boolean),
    strength: (text) => (text === "" ? null : Number(text)),
  };
  const labels = { base: t("Base model"), kind: t("Kind"), triggers: t("Trigger words; sets apart by ;"), strength: t("Strength") };
  const before = Object.fromEntries(Object.entries(fields).map(([name, input]) => [name, input.value]));
  const save = () => {
    const edited = Object.entries(fields).filter(([name, input]) => input.value !== before[name]);
    return correct(Object.fromEntries(edited.map(([name, input]) => [name, read[name](input.value)])))();
  };
  const rows = Object.entries(fields).map(([name, input]) => make("label", "ig-labelled", make("span", "ig-dim", labels[name]), input));
  return make("details", "", make("summary", "ig-label", t("Correct what is wrong")), ...rows, button(t("Save"), save));
}

function field(type, value) {
  return Object.assign(make("input", "ig-field"), { type, value });
}

function kinds(current) {
  const select = make("select", "ig-field");
  const values = ["", ...new Set([...KINDS, current].filter((kind) => kind && kind !== "unknown"))];
  select.append(...values.map((kind) => Object.assign(make("option", "", kind ? word(kind) : "—"), { value: kind })));
  select.value = current === "unknown" ? "" : current;
  return select;
}

// LoRA Recommend's rows: a LoRA each, from native widgets, so that both renderers draw them. They show what was
// suggested last and what `selection` holds; every change is written into `selection`, and nothing else is saved.
import { app } from "../../../scripts/app.js";
import { basisOf, fitHeight, nodesOf, onChange, rootGraph, valueOf, widgetOf } from "./graph_tools.js";
import { t, translation } from "./language.js";
import { clearSelection, readSelection, staleParts, writeSelection } from "./selection.js";
import { suggestOrTell } from "./suggest.js";
import { api } from "../../../scripts/api.js";

const TYPE = "LoRARecommend";
const USUAL_RANGE = [0, 1.5];
const STEP = 0.05;
const MAX_NEAR = 8;
const MAX_WORDS = 6;
const QUOTED = 12; // characters of an earlier prompt, at least
const CHARACTER_PX = 6.5;
const FRAME_PX = 150; // of a row that quotes it: its margins and its other words
const MIN_CONFIDENCE = 0.005; // of what is shown as a number
const ROW = Symbol("row of LoRA Recommend");
/** Options that the canvas alone reads: Nodes 2.0 copies what is enumerable, and would show words instead of a switch. */
const ON_CANVAS = {
  on: { get: () => (LiteGraph.vueNodesMode ? undefined : t("on")) },
  off: { get: () => (LiteGraph.vueNodesMode ? undefined : t("off")) },
  slider_color: { value: "#6789" }, // see-through, so that the label across its end is readable in both themes
};

/** Graph and node id → {offers, basis}: outlives the node itself, which a tab switch and undo make anew. */
const suggested = new Map();
/** Prompt ids of suggestions that are under way → the nodes that wait for them. */
const waiting = new Map();

const keyOf = (node) => `${node.graph?.id ?? rootGraph().id}:${node.id}`;

/** Adds the rows to a LoRA Recommend node. Returns how to show an output: (output, justMade) => void. */
export function loraRows(node) {
  const refresh = () => draw(node);
  const before = node.onConfigure;
  node.onConfigure = function () {
    before?.apply(this, arguments);
    refresh();
  };
  for (const name of ["selection", "mode", "model_family"]) onChange(widgetOf(node, name), refresh);
  refresh();
  return (output, justMade = false) => {
    remember(node, output, justMade);
    refresh();
  };
}

/** Suggests for one node; its choice is confirmed where the mode waits for one. */
export async function suggestFor(node) {
  const id = await suggestOrTell([node]);
  if (id) waiting.set(id, [node]);
  draw(node);
}

/** Keeps what an output offers. A run with a selection tells of that one only: the offers beside it stay. */
function remember(node, output, justMade) {
  if (!output.suggestions) return;
  const basis = output.chosen_for?.[0] ?? null;
  const confirmed = readSelection(node) !== null && output.confirmed?.[0] !== false;
  const found = output.suggestions.filter((one) => confirmed || !one.named).map((one) => ({ ...one, near: false }));
  const known = suggested.get(keyOf(node));
  if (confirmed) {
    const kept = known?.offers ?? [];
    const added = found.filter((one) => !kept.some((other) => other.lora === one.lora));
    const offers = [...added.map((one) => ({ ...one, confidence: null })), ...kept];
    suggested.set(keyOf(node), { offers, basis: known?.basis ?? basis, now: basis });
    return;
  }
  const near = (output.nearest ?? []).slice(0, MAX_NEAR).map((one) => ({ ...one, near: true }));
  suggested.set(keyOf(node), { offers: [...found, ...near], basis, now: basis });
  if (justMade && valueOf(node, "mode") === "ASSISTED" && found.length && output.confirmed?.[0] === false) {
    writeSelection(node, found.map(entryOf), basis);
  }
}

/** The LoRAs that a node would apply now, as entries of a selection. */
export function currentLoras(node) {
  return choices(node).flatMap(({ entry }) => (entry ? [entry] : []));
}

/** Adds LoRAs to a node's choice, which is confirmed with that; those that it has already get these strengths. */
export function addLoras(node, entries) {
  const others = currentLoras(node).filter(({ lora }) => !entries.some((entry) => entry.lora === lora));
  writeSelection(node, [...others, ...entries], readSelection(node)?.chosenFor ?? null);
  draw(node);
}

function entryOf({ lora, strength, strength_clip: clip, trigger_words: words }) {
  const entry = { lora, strength };
  if (clip != null && clip !== strength) entry.strength_clip = clip;
  if (words?.length) entry.trigger_words = words;
  return entry;
}

/** The LoRAs of the rows in their order: {offer, entry}, entry null where it is switched off. */
function choices(node) {
  const { offers } = suggested.get(keyOf(node)) ?? { offers: [] };
  const selection = readSelection(node);
  const chosen = valueOf(node, "mode") === "AUTO" ? offers.filter((one) => !one.near) : [];
  const entries = selection?.loras ?? chosen.map(entryOf);
  const isOf = (entry) => (offer) => entry.lora === offer.lora || entry.lora === offer.name;
  const own = entries
    .filter((entry) => !offers.some(isOf(entry)))
    .map((entry) => ({ offer: { lora: entry.lora, title: titleOf(entry.lora), strength: entry.strength ?? 1 }, entry }));
  return [...own, ...offers.map((offer) => ({ offer, entry: entries.find((entry) => isOf(entry)(offer)) ?? null }))];
}

function titleOf(lora) {
  return String(lora)
    .split(/[\\/]/)
    .pop()
    .replace(/\.safetensors$/, "");
}

/** Writes the choice with one LoRA's entry changed: null takes it out. */
function change(node, lora, entry) {
  const state = suggested.get(keyOf(node));
  const entries = choices(node)
    .map((one) => (one.offer.lora === lora ? entry : one.entry))
    .filter((one) => one !== null);
  const chosenFor = readSelection(node)?.chosenFor ?? state?.basis ?? null;
  writeSelection(node, entries, chosenFor);
  draw(node);
}

/** Name → widget to be shown: [type, properties, options]. Names are what a screen reader says. */
function* wanted(node) {
  const busy = [...waiting.values()].some((nodes) => nodes.includes(node));
  const selection = readSelection(node);
  const assisted = valueOf(node, "mode") === "ASSISTED";
  const stale = selection ? staleParts(node, selection.chosenFor) : [];
  const plain = stale.length ? t("Suggest again") : t("Suggest");
  const idle = assisted && !selection ? t("Suggest · nothing is confirmed yet") : plain;
  const label = busy ? t("Suggesting …") : idle;
  const again = () => suggestFor(node);
  yield ["Suggest", "button", { label, tooltip: t("Ctrl+Shift+G. No model is loaded for it."), callback: again }];
  if (stale.length) {
    const earlier = selection.chosenFor;
    const text = stale.includes("prompt") ? shortened(earlier.prompt, node.size[0]) : earlier.checkpoint || earlier.family;
    yield ["Stale", "button", { label: t("⚠ Chosen for: {text}", { text }), tooltip: earlier.prompt, callback: again }];
    const kept = stale.includes("prompt") ? t("Keep these LoRAs for this prompt") : t("Keep these LoRAs for this checkpoint");
    yield ["Keep", "button", { label: kept, callback: () => keep(node) }];
  }
  const names = new Set();
  for (const { offer, entry } of choices(node)) {
    const title = unique(offer.title || offer.name || offer.lora, names);
    const sure = !(offer.confidence >= MIN_CONFIDENCE) ? "" : ` · ${Math.round(100 * offer.confidence)} %`;
    const tooltip = [translation(offer.reasoning), translation(offer.reason), offer.near && t("One click adds it.")].filter(Boolean).join("\n");
    const flip = (on) => change(node, offer.lora, on ? entryOf(offer) : null);
    yield [`LoRA ${title}`, "toggle", { label: `${title}${sure}`, value: entry !== null, tooltip, callback: flip }];
    if (!entry) continue;
    yield strengthRow(node, title, offer, entry);
    yield* wordRows(node, title, offer, entry);
  }
  if (selection) {
    const hint = t("Forget this choice: the LoRAs are chosen anew, or wait for you in ASSISTED mode.");
    yield ["Clear", "button", { label: t("× Clear the choice"), tooltip: hint, callback: () => clear(node) }];
  }
}

function strengthRow(node, title, offer, entry) {
  const value = entry.strength ?? 1;
  const [low, high] = offer.strength_range ?? USUAL_RANGE;
  const options = { min: Math.min(low, value), max: Math.max(high, value), step2: STEP, step: 10 * STEP, precision: 2 };
  const set = (given) => {
    const strength = Math.round(given / STEP) * STEP;
    const rounded = Number(strength.toFixed(2));
    const ratio = entry.strength_clip == null || !value ? null : entry.strength_clip / value;
    const clip = ratio === null ? {} : { strength_clip: Number((rounded * ratio).toFixed(2)) };
    if (rounded !== value) change(node, offer.lora, { ...entry, strength: rounded, ...clip });
  };
  return [`Strength of ${title}`, "slider", { label: t("strength"), value, callback: set }, options];
}

function* wordRows(node, title, offer, entry) {
  const suggestedWords = offer.trigger_words ?? [];
  const words = entry.trigger_words ?? suggestedWords;
  const prompt = (suggested.get(keyOf(node))?.now?.prompt ?? "").toLowerCase();
  const others = (offer.trigger_sets ?? []).flat().filter((word) => !prompt.includes(word.toLowerCase()));
  const offered = [...new Set([...words, ...suggestedWords, ...others])].slice(0, MAX_WORDS);
  for (const word of offered) {
    const flip = (on) => {
      const trigger_words = offered.filter((one) => (one === word ? on : words.includes(one)));
      change(node, offer.lora, { ...entry, trigger_words });
    };
    const row = { label: `+ “${word}”`, value: words.includes(word), tooltip: t("Trigger word, added to the prompt"), callback: flip };
    yield [`Word of ${title}: ${word}`, "toggle", row];
  }
}

function unique(title, names) {
  let name = title;
  for (let number = 2; names.has(name); number++) name = `${title} (${number})`;
  names.add(name);
  return name;
}

function shortened(text, width) {
  const room = Math.max(QUOTED, Math.floor((width - FRAME_PX) / CHARACTER_PX));
  return text.length > room ? `${text.slice(0, room)} …` : text;
}

function keep(node) {
  const selection = readSelection(node);
  const now = basisOf(node);
  const basis = Object.fromEntries(Object.entries(now).map(([name, value]) => [name, value ?? selection.chosenFor[name] ?? ""]));
  writeSelection(node, selection.loras, basis);
  draw(node);
}

function clear(node) {
  suggested.delete(keyOf(node));
  clearSelection(node);
  draw(node);
}

/** Brings the node's rows to what is wanted; those that stay are kept, so that a slider in use is not replaced. */
function draw(node) {
  const rows = [...wanted(node)];
  const names = new Map(rows.map(([name, type]) => [name, type]));
  for (const widget of node.widgets.filter((one) => one[ROW])) {
    if (names.get(widget.name) !== widget.type) node.removeWidget(widget);
  }
  const made = rows.map(([name, type, properties, options = {}]) => {
    const widget = node.widgets.find((one) => one[ROW] && one.name === name) ?? addRow(node, name, type, options);
    Object.assign(widget.options, options);
    if (properties.value !== undefined && widget.value !== properties.value) widget.value = properties.value;
    widget.label = properties.label;
    widget.tooltip = properties.tooltip;
    widget.callback = properties.callback;
    return widget;
  });
  const others = node.widgets.filter((widget) => !widget[ROW]);
  const last = others.findLastIndex((widget) => !widget.element) + 1;
  const order = [...others.slice(0, last), ...made, ...others.slice(last)];
  if (order.some((widget, index) => node.widgets[index] !== widget)) node.widgets.splice(0, node.widgets.length, ...order);
  fitHeight(node);
}

function addRow(node, name, type, options) {
  const widget = node.addWidget(type, name, type === "button" ? null : false, () => {}, { ...options, serialize: false });
  widget.serialize = false;
  widget[ROW] = true;
  Object.defineProperties(widget.options, ON_CANVAS);
  return widget;
}

app.registerExtension({
  name: "intelligentgeneration.Rows",
  setup() {
    const redraw = () => nodesOf(TYPE).forEach(draw);
    api.addEventListener("graphChanged", redraw);
    for (const end of ["execution_success", "execution_error", "execution_interrupted"]) {
      api.addEventListener(end, ({ detail }) => {
        if (waiting.delete(detail.prompt_id)) redraw();
      });
    }
  },
});

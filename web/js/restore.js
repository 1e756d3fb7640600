// Outputs again, so that nothing vanishes: after undo and a tab switch from this page's memory, after a reload from
// ComfyUI's history, later and for a dropped picture from the pack's own database.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { call } from "./common.js";
import { ancestor, basisOf, nodesOf, rootGraph, valueOf } from "./graph_tools.js";

const PROPERTY = "intelligent_generation_id"; // of a node: it is saved in the workflow, and is in no prompt
const HISTORY_LENGTH = 16;
const RECORD = /"image_id":\s*"([0-9a-f]{32}(?:-\d+)?)"/; // in the metadata of every format
const CHOOSERS = ["LoRARecommend", "ParamOptimize"];
const PICTURE = /\.(png|webp|jpe?g)$/i;
const DROP_PATIENCE_MS = 10_000;

const remembered = new Map();
const asked = new Set(); // graphs whose history was looked up
let dropped = null;

const keyOf = (node) => `${rootGraph().id}:${node.graph?.id}:${node.id}:${node.comfyClass}`;

/** Keeps a node's output for the node that takes its place, and its generation's id in the workflow. */
export function remember(node, output) {
  remembered.set(keyOf(node), output);
  const id = generationOf(output);
  if (!id) return;
  node.properties[PROPERTY] = id;
  // Nothing that undo should take back.
  const state = app.extensionManager?.workflow?.activeWorkflow?.changeTracker?.activeState;
  const saved = state?.nodes?.find((one) => String(one.id) === String(node.id) && one.type === node.type);
  if (saved) saved.properties = { ...saved.properties, [PROPERTY]: id };
}

function generationOf(output) {
  return output.feedback?.[0]?.generation_id || output.generation_id?.[0] || "";
}

/** Shows every node of `types` what is known of it by `show(node, output)`. */
export async function refill(types, show) {
  const nodes = types.flatMap(nodesOf);
  const picture = await (dropped?.until > Date.now() ? dropped.id : null);
  dropped = null;
  if (picture) return fillFromStore(nodes.filter(hasGeneration), picture, show, true);
  const missing = () => nodes.filter((node) => node.graph && !remembered.has(keyOf(node)));
  for (const node of nodes) if (remembered.has(keyOf(node))) show(node, remembered.get(keyOf(node)));
  if (missing().length && !asked.has(rootGraph().id)) {
    asked.add(rootGraph().id);
    await fillFromHistory(missing, show);
  }
  for (const node of missing().filter((one) => one.properties?.[PROPERTY])) {
    await fillFromStore([node], node.properties[PROPERTY], show, false);
  }
}

const hasGeneration = (node) => ["Feedback", "Explain"].includes(node.comfyClass);

/** Shows each node its newest output, and before that its newest suggestions, which a later run does not repeat. */
async function fillFromHistory(missing, show) {
  const wanted = missing();
  const found = new Map();
  const answer = await api.fetchApi(`/history?max_items=${HISTORY_LENGTH}`);
  if (!answer.ok) return;
  const entries = Object.values(await answer.json()).sort((one, other) => other.prompt[0] - one.prompt[0]);
  for (const { prompt, outputs } of entries) {
    const graph = prompt[3]?.extra_pnginfo?.workflow?.id;
    if (graph !== rootGraph().id || !samePrompt(prompt[2])) continue;
    for (const [id, output] of Object.entries(outputs)) {
      const local = id.split(":").pop();
      const type = prompt[2][id]?.class_type;
      const node = wanted.find((one) => String(one.id) === local && one.comfyClass === type);
      if (!node || found.get(node)?.some(isSuggestion)) continue;
      const isFirst = !found.has(node);
      if (isFirst || isSuggestion(output)) found.set(node, [output, ...(found.get(node) ?? [])]);
    }
  }
  for (const [node, outputs] of found) {
    if (!missing().includes(node)) continue; // has run in the meantime
    remember(node, outputs.at(-1));
    outputs.forEach((output) => show(node, output));
  }
}

const isSuggestion = (output) => output.confirmed?.[0] === false;

/** True where a queued prompt says what the page's Prompt Analyze nodes say now. */
function samePrompt(prompt) {
  return nodesOf("PromptAnalyze").every((node) => {
    const text = valueOf(node, "prompt") ?? "";
    const then = Object.entries(prompt).find(([id]) => id.split(":").pop() === String(node.id))?.[1].inputs.prompt;
    return typeof then !== "string" || text.includes("{") || then === text;
  });
}

/** Fills nodes, and what chose for them, from a stored generation; `all`: also where something else is shown. */
async function fillFromStore(nodes, id, show, all) {
  let found;
  try {
    found = await call(`/generations/${encodeURIComponent(id)}/again`);
  } catch {
    return; // made on another machine, or forgotten
  }
  const choosers = CHOOSERS.flatMap((type) => nodes.map((node) => ancestor(node, type)).filter(Boolean));
  for (const node of new Set([...nodes, ...choosers])) {
    const output = found.outputs[node.comfyClass];
    if (!output || (!all && remembered.has(keyOf(node))) || isOfOtherPrompt(node, output)) continue;
    remember(node, output);
    show(node, output);
  }
}

function isOfOtherPrompt(node, output) {
  const now = node.comfyClass === "LoRARecommend" ? basisOf(node).prompt : null;
  return now !== null && now !== output.chosen_for?.[0]?.prompt;
}

/** A picture that is dropped on the page opens as a workflow; its id tells which generation it shows. */
document.addEventListener(
  "drop",
  ({ dataTransfer }) => {
    const file = dataTransfer?.files?.[0];
    if (file && PICTURE.test(file.name)) dropped = { id: idIn(file), until: Date.now() + DROP_PATIENCE_MS };
  },
  { capture: true },
);

async function idIn(file) {
  const text = new TextDecoder("latin1").decode(await file.arrayBuffer());
  return RECORD.exec(text)?.[1] ?? null;
}

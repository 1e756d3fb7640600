// Why a prompt was refused, or a part of it not run, where our nodes are the cause: ComfyUI's own toast names no reason.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { isOurs, rootGraph } from "./graph_tools.js";
import { later, nodeText, t, translation } from "./language.js";

const ANSWER_MS = 250;
const PATIENCE = 40; // answers that are looked at: ten seconds
const LIFE_MS = 12_000;
const MISSING = "required_input_missing";
const OFF = { 2: "muted", 4: "bypassed" }; // modes of a node

app.registerExtension({
  name: "intelligentgeneration.QueueProblems",
  setup() {
    api.addEventListener("promptQueueing", () => watch(PATIENCE, currentErrors(), ++queued));
    api.addEventListener("execution_error", ({ detail }) => tellFailure(detail));
  },
});

let queued = 0;

const currentErrors = () => app.lastNodeErrors ?? app.extensionManager?.lastNodeErrors;

/** Waits for errors other than `before`, those of the prompt that was queued last. */
function watch(left, before, turn) {
  if (turn !== queued) return; // the next prompt's errors are told by its own watch
  const errors = currentErrors();
  if (errors && errors !== before && Object.keys(errors).length) tell(errors);
  else if (left) setTimeout(() => watch(left - 1, before, turn), ANSWER_MS);
}

function tell(errors) {
  const told = Object.entries(errors).flatMap(([id, found]) => sentences(id, found));
  if (told.length) toast([...new Set(told)].join("\n"));
}

function toast(detail) {
  app.extensionManager.toast.add({ severity: "error", summary: t("Not run"), detail, life: LIFE_MS });
}

/** ComfyUI's own dialog shows a failure in English; in another language the sentence stands beside it. */
function tellFailure({ node_type: type, exception_message: text }) {
  const said = isOurType(type) && translation(text.trim());
  if (said && said !== text.trim()) toast(said);
}

const isOurType = (type) => Boolean(isOurs(LiteGraph.registered_node_types[type]?.nodeData));

function sentences(id, { class_type: type, errors = [] }) {
  const node = nodeOf(id);
  return errors.flatMap(({ type: kind, details, extra_info: wrong }) => {
    if (kind === "custom_validation_failed" && isOurType(type)) return [translation(details.replace(/^\w+ - /, ""))];
    if (kind in WRONG_VALUES && isOurType(type)) return [wrongValue(kind, type, node, wrong)];
    if (kind !== MISSING) return [];
    const off = switchedOff(node, details);
    if (off) return [t(OFF_TEXTS[OFF[off.mode]], { source: off.title, node: node.title })];
    if (!isOurType(type)) return [];
    const { display_name: title, name, tooltip } = nodeText(type, details);
    return [t("{node} lacks {input}: {hint}", { node: node?.title ?? title, input: name, hint: tooltip })];
  });
}

/** A value that a node of ours does not take, which core tells in English and by the input's name in the API. */
function wrongValue(kind, type, node, { input_name: input, received_value: value, input_config: [, options] = [] } = {}) {
  const { display_name: title, name } = nodeText(type, input);
  return t(WRONG_VALUES[kind], { node: node?.title ?? title, input: name, value: String(value), least: options?.min, most: options?.max });
}

const WRONG_VALUES = {
  value_not_in_list: later("{node}: {input} has no choice “{value}” on this machine: choose another."),
  value_smaller_than_min: later("{node}: {input} is {value}, and must be {least} or more."),
  value_bigger_than_max: later("{node}: {input} is {value}, and must be {most} or less."),
};

const OFF_TEXTS = {
  muted: later("{source} is muted, and {node} needs what it gives: switch it on."),
  bypassed: later("{source} is bypassed, and {node} needs what it gives: switch it on."),
};

/** The node of a prompt's id, which names the subgraphs around it ("9:3"). */
function nodeOf(id) {
  let graph = rootGraph();
  let node = null;
  for (const part of String(id).split(":")) {
    node = graph?.getNodeById?.(Number(part)) ?? null;
    graph = node?.subgraph;
  }
  return node;
}

/** Our node, switched off, on which an input hangs, or null. */
function switchedOff(node, name) {
  const index = node?.inputs?.findIndex((input) => input.name === name) ?? -1;
  const source = index < 0 ? null : node.getInputNode(index);
  return source && OFF[source.mode] && isOurs(source.constructor.nodeData) ? source : null;
}

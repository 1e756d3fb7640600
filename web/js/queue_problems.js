// Why a prompt was refused, where our nodes are the cause: ComfyUI's own toast names no reason.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { isOurs, rootGraph } from "./graph_tools.js";
import { t, translation } from "./language.js";

const ANSWER_MS = 250;
const PATIENCE = 40; // answers that are looked at: ten seconds
const LIFE_MS = 12_000;
const BYPASSED = 4;

app.registerExtension({
  name: "IntelligentGeneration.QueueProblems",
  setup() {
    api.addEventListener("promptQueueing", () => watch(PATIENCE));
  },
});

function watch(left) {
  const errors = app.lastNodeErrors ?? app.extensionManager?.lastNodeErrors;
  if (errors && Object.keys(errors).length) tell(errors);
  else if (left) setTimeout(() => watch(left - 1), ANSWER_MS);
}

function tell(errors) {
  const told = Object.entries(errors).flatMap(([id, found]) => sentences(id, found));
  if (!told.length) return;
  app.extensionManager.toast.add({ severity: "error", summary: t("Nothing was run"), detail: [...new Set(told)].join("\n"), life: LIFE_MS });
}

function sentences(id, { class_type: type, errors = [] }) {
  const node = rootGraph().getNodeById?.(Number(id)) ?? null;
  const ours = isOurs(LiteGraph.registered_node_types[type]?.nodeData);
  return errors.flatMap(({ type: kind, details }) => {
    if (kind === "custom_validation_failed" && ours) return [translation(details.replace(/^\w+ - /, ""))];
    const off = kind === "required_input_missing" ? bypassedSource(node, details) : null;
    if (off) return [t("{source} is bypassed, and {node} needs what it gives: switch it on.", { source: off.title, node: node.title })];
    return [];
  });
}

/** Our bypassed node on which an input hangs, or null. */
function bypassedSource(node, name) {
  const index = node?.inputs?.findIndex((input) => input.name === name) ?? -1;
  const source = index < 0 ? null : node.getInputNode(index);
  return source?.mode === BYPASSED && isOurs(source.constructor.nodeData) ? source : null;
}

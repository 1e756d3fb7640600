// While Intelligent Sampler runs: step and time left, as the text that ComfyUI shows on a node.
import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { nodesOf, widgetOf } from "./graph_tools.js";
import { duration, t } from "./language.js";

const PROGRESS_WIDGET = "$$node-text-preview"; // the name that ComfyUI gives it
const STEPS_BEFORE_GUESS = 2; // the first one loads and warms up

let run = null;
let telling = false;

const isSampler = (id) => nodesOf("IntelligentSampler").some((node) => String(node.id) === String(id).split(":").pop());

function tell(nodeId, text) {
  telling = true;
  api.dispatchCustomEvent("progress_text", { nodeId, text: [text, run.warning].filter(Boolean).join("\n") });
  telling = false;
}

/** Takes the text off the samplers: the canvas would keep it until the next run. */
function clear() {
  run = null;
  for (const node of nodesOf("IntelligentSampler")) {
    const shown = widgetOf(node, PROGRESS_WIDGET);
    if (shown) node.removeWidget(shown);
  }
}

/** The text of a step; the time left from the second step on. */
export function progressText({ value, max, first, now }) {
  const steps = t("step {step} of {steps}", { step: value, steps: max });
  const timed = value - first.value;
  if (timed < STEPS_BEFORE_GUESS || value >= max) return steps;
  const left = ((now - first.at) / timed / 1000) * (max - value);
  return `${steps}, ${t("about {time} left", { time: duration(left) })}`;
}

app.registerExtension({
  name: "IntelligentGeneration.Progress",

  setup() {
    api.addEventListener("progress", ({ detail: { value, max, node, prompt_id: prompt } }) => {
      if (!isSampler(node)) return;
      const now = performance.now();
      if (run?.prompt !== prompt || value < run.value) run = { prompt, first: { value, at: now }, warning: run?.prompt === prompt ? run.warning : "" };
      run.value = value;
      tell(node, progressText({ value, max, first: run.first, now }));
    });
    for (const end of ["execution_success", "execution_error", "execution_interrupted"]) api.addEventListener(end, clear);
    api.addEventListener("progress_text", ({ detail: { nodeId, text } }) => {
      if (!telling && run && isSampler(nodeId)) run.warning = text; // the server's own: a limit that will be missed
    });
  },
});

// While Intelligent Sampler runs: step, time left and what guidance does, as the text that ComfyUI shows on a node.
import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { nodesOf, widgetOf } from "./graph_tools.js";
import { duration, t, translation } from "./language.js";

const GUIDANCE = "intelligent_generation.guidance";
const PROGRESS_WIDGET = "$$node-text-preview"; // the name that ComfyUI gives it
const STEPS_BEFORE_GUESS = 2; // the first one loads and warms up
const TELLING = ["IntelligentSampler", "CheckpointOrFirst"];

let run = null;
let guidance = null; // of the newest run: {prompt_id, first, last, steps}
let telling = false;

const isOf = (types, id) => types.flatMap(nodesOf).some((node) => String(node.id) === String(id).split(":").pop());
const isSampler = (id) => isOf(["IntelligentSampler"], id);

function tell(nodeId, ...lines) {
  telling = true;
  api.dispatchCustomEvent("progress_text", { nodeId, text: lines.filter(Boolean).join(" · ") });
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
  return `${steps}, ${t("about {time} left", { time: duration(Math.max(1, Math.round(left))) })}`;
}

/** In which steps guidance is on, counted from 1. */
export function guidanceText({ first, last, steps }) {
  if (last < first) return t("CFG is 1: the negative prompt does nothing");
  if (first > 1) return t("guidance only from step {first} to {last}", { first, last });
  return last < steps ? t("guidance off after step {step}", { step: last }) : t("guidance in every step");
}

app.registerExtension({
  name: "intelligentgeneration.Progress",

  setup() {
    for (const end of ["execution_success", "execution_error", "execution_interrupted"]) api.addEventListener(end, clear);
    api.addEventListener(GUIDANCE, ({ detail }) => (guidance = detail));
    api.addEventListener("progress", ({ detail: { value, max, node, prompt_id: prompt } }) => {
      if (!isSampler(node)) return;
      const now = performance.now();
      if (run?.prompt !== prompt || value < run.value) run = { prompt, first: { value, at: now }, warning: run?.prompt === prompt ? run.warning : "" };
      run.value = value;
      const guided = guidance?.prompt_id === prompt && guidanceText(guidance);
      tell(node, progressText({ value, max, first: run.first, now }), guided, run.warning);
    });
    api.addEventListener("progress_text", ({ detail: { nodeId, text } }) => {
      if (telling || !isOf(TELLING, nodeId)) return;
      const said = translation(text); // the server's own: a limit that will be missed, another checkpoint
      if (run && isSampler(nodeId)) run.warning = said;
      if (said !== text) tell(nodeId, said);
    });
  },
});

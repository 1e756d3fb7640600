// *Suggest*: runs LoRA Recommend and Param Optimize alone, ahead of the queue, so that no model is loaded for it.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { nodesOf } from "./graph_tools.js";
import { ready, t, translation } from "./language.js";

const RECOMMEND = "LoRARecommend";
const OPTIMIZE = "ParamOptimize";
const AHEAD = -1; // of what waits in the queue

/** Inputs of LoRA Recommend in the queued copy; the graph itself stays as it is. */
const ASKED = { mode: "ASSISTED", selection: "", on_unconfirmed: "suggest_only" };

/** Queues the suggestions of these LoRA Recommend nodes (none given: of all). Returns the prompt's id. */
export async function suggest(nodes = nodesOf(RECOMMEND)) {
  const { output, workflow } = await app.graphToPrompt();
  const asked = Object.keys(output).filter(
    (id) => output[id].class_type === RECOMMEND && nodes.some((node) => String(node.id) === id.split(":").pop()),
  );
  if (!asked.length) {
    throw new Error(
      nodes.length
        ? t("LoRA Recommend is bypassed or muted: switch it on to get suggestions.")
        : t("This workflow has no LoRA Recommend node: add one after Prompt Analyze."),
    );
  }
  for (const id of asked) Object.assign(output[id].inputs, ASKED);
  const settings = Object.keys(output).filter(
    (id) => output[id].class_type === OPTIMIZE && reads(output, id, new Set(asked)),
  );
  const options = { partialExecutionTargets: [...asked, ...settings] };
  const answer = await api.queuePrompt(AHEAD, { output, workflow }, options);
  return answer.prompt_id;
}

/** True where a node depends on one of `origins`. */
function reads(prompt, id, origins, seen = new Set()) {
  if (origins.has(id)) return true;
  if (seen.has(id)) return false;
  seen.add(id);
  return Object.values(prompt[id]?.inputs ?? {}).some(
    (value) => Array.isArray(value) && reads(prompt, String(value[0]), origins, seen),
  );
}

/** The same for a click or a key: what is wrong is told in a toast. */
export async function suggestOrTell(nodes) {
  try {
    return await suggest(nodes);
  } catch (error) {
    const node = Object.values(error.response?.node_errors ?? {})[0];
    const detail = node?.errors?.map((one) => translation(one.details)).join("\n") || error.message;
    app.extensionManager.toast.add({ severity: "warn", summary: t("No suggestions"), detail, life: 8000 });
    return null;
  }
}

app.registerExtension({
  name: "intelligentgeneration.Suggest",
  commands: [
    {
      id: "IntelligentGeneration.Suggest",
      icon: "pi pi-sparkles",
      label: "Suggest LoRAs and settings",
      function: () => suggestOrTell(),
    },
  ],
  keybindings: [{ combo: { key: "g", ctrl: true, shift: true }, commandId: "IntelligentGeneration.Suggest" }],
  menuCommands: [{ path: ["Extensions", "Intelligent Generation"], commands: ["IntelligentGeneration.Suggest"] }],
  getSelectionToolboxCommands: (item) => (item?.comfyClass === RECOMMEND ? ["IntelligentGeneration.Suggest"] : []),
});

ready.then(() =>
  app.registerExtension({
    name: "intelligentgeneration.SuggestButton",
    actionBarButtons: [
      {
        icon: "pi pi-sparkles",
        label: t("Suggest"),
        tooltip: t("Suggest LoRAs and settings for this prompt, without loading a model (Ctrl+Shift+G)"),
        onClick: () => suggestOrTell(),
      },
    ],
  }),
);

// *Make on servers*: the pictures that the workflow asks for, variations and all, on the ComfyUI servers of config.json.
import { app } from "../../../scripts/app.js";
import { call } from "./common.js";
import { t } from "./language.js";

const COMMAND = "IntelligentGeneration.MakeOnServers";
const CANCEL = "IntelligentGeneration.EndServerBatch";
const NODES = ["LoRARecommend", "ParamOptimize", "IntelligentSampler"];
const ASK_MS = 1500;

/** Starts the batch, and tells when it has ended. Returns its last status. */
async function makeOnServers() {
  const { output } = await app.graphToPrompt();
  const prompt = Object.fromEntries(
    Object.entries(output).map(([id, { class_type, inputs }]) => [id, { class_type, inputs }]),
  );
  const selected = Object.values(app.canvas.selected_nodes ?? {}).find((node) => node.type === "IntelligentSampler");
  let state = await call("/batch", { prompt, sampler: selected ? String(selected.id) : "" });
  tell("info", t("{total} pictures go to the servers.", state));
  while (state.running) {
    await new Promise((resolve) => setTimeout(resolve, ASK_MS));
    state = await call("/batch");
  }
  if (state.problem) throw new Error(state.problem);
  tell("success", t("{done} of {total} pictures are made: see the history, or {folder} in the output folder.", state));
  return state;
}

function tell(severity, detail) {
  app.extensionManager.toast.add({ severity, summary: t("Make on servers"), detail, life: 8000 });
}

const makeOrTell = () => makeOnServers().catch((error) => tell("warn", error.message));

app.registerExtension({
  name: "intelligentgeneration.ServerBatch",
  commands: [
    { id: COMMAND, icon: "pi pi-server", label: "Make on servers", function: makeOrTell },
    {
      id: CANCEL,
      label: "End the batch on servers",
      function: () => call("/batch/cancel", {}).catch((error) => tell("warn", error.message)),
    },
  ],
  menuCommands: [{ path: ["Extensions", "Intelligent Generation"], commands: [COMMAND, CANCEL] }],
  getSelectionToolboxCommands: (item) => (NODES.includes(item?.comfyClass) ? [COMMAND] : []),
});

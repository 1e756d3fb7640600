// The pack's settings: in the page where they concern the page, in the server's config.json where they concern it.
import { app } from "../../../scripts/app.js";
import { call } from "./common.js";
import { ready, t } from "./language.js";
import { LONG_REPORTS } from "./report_view.js";

const CATEGORY = "Intelligent Generation";
const CONFIDENCE = "IntelligentGeneration.Confidence";
const OLLAMA_URL = "IntelligentGeneration.Ollama.Url";
const OLLAMA_MODEL = "IntelligentGeneration.Ollama.Model";
const NEVER_ADD = "IntelligentGeneration.Words.NeverAdd";
const GREETED = "IntelligentGeneration.Greeted";
const GREETING_MS = 12_000;
const PATIENCE_MS = 1500;

/** Writes a setting of the server; what it was before this page was opened is no change. */
const server = (change) => (value, before) => {
  if (before === undefined || value === before || value === "") return;
  call("/settings", change(value)).catch((error) => app.extensionManager.toast.add({ severity: "error", summary: CATEGORY, detail: error.message }));
};

app.registerExtension({
  name: "IntelligentGeneration.Settings",
  settings: [
    {
      id: OLLAMA_MODEL,
      category: [CATEGORY, "Ollama", "Model"],
      name: "Ollama: model",
      type: "text",
      defaultValue: "",
      tooltip: "The local model that is asked where a node says ollama. Empty: as in config.json.",
      onChange: server((model) => ({ ollama: { model } })),
    },
    {
      id: OLLAMA_URL,
      category: [CATEGORY, "Ollama", "Address"],
      name: "Ollama: address",
      type: "text",
      defaultValue: "",
      tooltip: "Such as http://127.0.0.1:11434. Empty: as in config.json.",
      onChange: server((base_url) => ({ ollama: { base_url } })),
    },
    {
      id: NEVER_ADD,
      category: [CATEGORY, "Words", "Never added"],
      name: "Words never to add",
      type: "text",
      defaultValue: "",
      tooltip: "Trigger words with one of these, apart by commas, are added only where the prompt has them.",
      onChange: server((text) => ({ never_add: text.split(",").map((word) => word.trim()).filter(Boolean) })),
    },
    {
      id: CONFIDENCE,
      category: [CATEGORY, "Nodes", "Confidence"],
      name: "Confidence of new LoRA Recommend nodes",
      type: "slider",
      defaultValue: 0.3,
      attrs: { min: 0, max: 1, step: 0.05 },
      tooltip: "How sure a choice must be. Nodes that are there keep theirs.",
    },
    {
      id: LONG_REPORTS,
      category: [CATEGORY, "Nodes", "Reports"],
      name: "Long reports: every line with its reasons",
      type: "boolean",
      defaultValue: false,
    },
    { id: GREETED, name: "First run is over", type: "hidden", defaultValue: false },
  ],

  nodeCreated(node) {
    if (node.comfyClass !== "LoRARecommend") return;
    const widget = node.widgets.find(({ name }) => name === "min_confidence");
    const value = app.ui.settings.getSettingValue(CONFIDENCE);
    if (widget && typeof value === "number") widget.value = value; // a loaded workflow sets its own afterwards
  },

  setup() {
    setTimeout(() => greet().catch((error) => console.warn(error)), PATIENCE_MS);
  },
});

/** On the first run: how many LoRAs were read, and where to start. */
async function greet() {
  const { setting, toast } = app.extensionManager;
  if (setting.get(GREETED)) return;
  await ready;
  const { counts, errors, scanning } = await call("/library");
  if (scanning) return; // told when the page is opened next
  const left = Object.keys(errors).length;
  const read = left ? t("{count} LoRAs read, {left} left out", { count: counts.lora ?? 0, left }) : t("{count} LoRAs read", { count: counts.lora ?? 0 });
  const detail = t("They are in the LoRA library in the sidebar. Open the template Prompt to picture to start.");
  toast.add({ severity: "info", summary: `Intelligent Generation: ${read}`, detail, life: GREETING_MS });
  await setting.set(GREETED, true);
}

// The pack's settings. What Python and the terminal use too lies in the server's data folder, and is read from there
// when the page opens; the rest is the page's own.
import { app } from "../../../scripts/app.js";
import { call } from "./common.js";
import { LONG_REPORTS } from "./report_view.js";

const CATEGORY = "Intelligent Generation";
const CONFIDENCE = "IntelligentGeneration.Confidence";
const OLLAMA_URL = "IntelligentGeneration.Ollama.Url";
const OLLAMA_MODEL = "IntelligentGeneration.Ollama.Model";
const CIVITAI = "IntelligentGeneration.Hubs.CivitAI";
const HUGGING_FACE = "IntelligentGeneration.Hubs.HuggingFace";
const NEVER_ADD = "IntelligentGeneration.Words.NeverAdd";
const OWN_PICTURES = "IntelligentGeneration.Pictures.Learn";
const PATIENCE_MS = 1500;
const DEFAULT_CONFIDENCE = 0.3;

const list = (text) => text.split(",").map((part) => part.trim()).filter(Boolean);
const withHub = (hub) => (on) => ({ hubs: on ? [...new Set([...stored.hubs, hub])] : stored.hubs.filter((one) => one !== hub) });

/** Setting → [its value in what the server tells, what to send for a new one, the route]. */
const SERVER = {
  [CONFIDENCE]: [({ min_confidence: value }) => value, (value) => ({ min_confidence: value }), "/settings"],
  [OLLAMA_MODEL]: [({ ollama }) => ollama.model, (model) => ({ ollama: { model: model || null } }), "/settings"],
  [OLLAMA_URL]: [({ ollama }) => ollama.base_url, (url) => ({ ollama: { base_url: url || null } }), "/settings"],
  [CIVITAI]: [({ hubs }) => hubs.includes("civitai"), withHub("civitai"), "/settings"],
  [HUGGING_FACE]: [({ hubs }) => hubs.includes("huggingface"), withHub("huggingface"), "/settings"],
  [NEVER_ADD]: [({ never_add: words }) => words.join(", "), (text) => ({ never_add: list(text) }), "/settings"],
  [OWN_PICTURES]: [({ on }) => on, (on) => ({ on }), "/history"],
};

/** What the server tells; null before the page has asked. */
let stored = null;

async function change(id, value) {
  const [read, body, route] = SERVER[id];
  if (!stored || value === read(stored)) return;
  try {
    stored = { ...stored, ...(await call(route, body(value))) };
  } catch (error) {
    app.extensionManager.toast.add({ severity: "error", summary: CATEGORY, detail: error.message });
  }
  if (read(stored) !== value) await app.extensionManager.setting.set(id, read(stored));
}

async function readStored() {
  stored = { ...(await call("/settings")), ...(await call("/history")) };
  for (const [id, [read]] of Object.entries(SERVER)) {
    if (app.extensionManager.setting.get(id) !== read(stored)) await app.extensionManager.setting.set(id, read(stored));
  }
}

const ofServer = (id) => ({ onChange: (value) => change(id, value) });

app.registerExtension({
  name: "intelligentgeneration.Settings",
  settings: [
    {
      id: OLLAMA_MODEL,
      category: [CATEGORY, "Ollama", "Model"],
      name: "Ollama: model",
      type: "text",
      defaultValue: "",
      tooltip: "The local model that is asked where a node says ollama. Empty: the usual one.",
      ...ofServer(OLLAMA_MODEL),
    },
    {
      id: OLLAMA_URL,
      category: [CATEGORY, "Ollama", "Address"],
      name: "Ollama: address",
      type: "text",
      defaultValue: "",
      tooltip: "Such as http://127.0.0.1:11434. Empty: the usual one.",
      ...ofServer(OLLAMA_URL),
    },
    {
      id: CIVITAI,
      category: [CATEGORY, "Hubs", "CivitAI"],
      name: "CivitAI may be asked",
      type: "boolean",
      defaultValue: true,
      tooltip: "For downloads, facts and newer versions of models, and only when you ask for them. Off: never.",
      ...ofServer(CIVITAI),
    },
    {
      id: HUGGING_FACE,
      category: [CATEGORY, "Hubs", "Hugging Face"],
      name: "Hugging Face may be asked",
      type: "boolean",
      defaultValue: true,
      tooltip: "For downloads and searches, and only when you ask for them. Off: never.",
      ...ofServer(HUGGING_FACE),
    },
    {
      id: OWN_PICTURES,
      category: [CATEGORY, "Choice", "Own pictures"],
      name: "Learn from the pictures that I already have",
      type: "boolean",
      defaultValue: false,
      tooltip: "Reads the output folder while nothing is generated, and changes nothing there. Off: what was read is not used.",
      ...ofServer(OWN_PICTURES),
    },
    {
      id: NEVER_ADD,
      category: [CATEGORY, "Choice", "Never added"],
      name: "Words never to add",
      type: "text",
      defaultValue: "",
      tooltip: "Trigger words with one of these, apart by commas, are added only where the prompt has them.",
      ...ofServer(NEVER_ADD),
    },
    {
      id: CONFIDENCE,
      category: [CATEGORY, "Choice", "Confidence"],
      name: "Confidence of new LoRA Recommend nodes",
      type: "slider",
      defaultValue: DEFAULT_CONFIDENCE,
      attrs: { min: 0, max: 1, step: 0.05 },
      tooltip: "How sure a choice must be. Nodes that are there keep theirs. The terminal uses it too.",
      ...ofServer(CONFIDENCE),
    },
    {
      id: LONG_REPORTS,
      category: [CATEGORY, "Nodes", "Reports"],
      name: "Long reports: every line with its reasons",
      type: "boolean",
      defaultValue: false,
    },
  ],

  nodeCreated(node) {
    if (node.comfyClass !== "LoRARecommend") return;
    const widget = node.widgets.find(({ name }) => name === "min_confidence");
    if (widget && stored) widget.value = stored.min_confidence; // a loaded workflow sets its own afterwards
  },

  setup() {
    setTimeout(() => readStored().catch((error) => console.warn(error)), PATIENCE_MS);
  },
});

// On the first run: how many LoRAs were read, how many not and why, and where to start. It stands below the graph, where
// ComfyUI's own messages would cover the picture.
import { app } from "../../../scripts/app.js";
import { call, make } from "./common.js";
import { ready, t, translation } from "./language.js";
import { addStyles } from "./styles.js";

const GREETED = "IntelligentGeneration.Greeted";
const START_MS = 1500;
const SCAN_MS = 3000; // between two looks at a scan
const LIFE_MS = 30_000;

app.registerExtension({
  name: "intelligentgeneration.Greeting",
  settings: [{ id: GREETED, name: "First run is over", type: "hidden", defaultValue: false }],
  setup() {
    setTimeout(() => greet().catch((error) => console.warn(error)), START_MS);
  },
});

async function greet() {
  const { setting } = app.extensionManager;
  if (setting.get(GREETED)) return;
  await ready;
  const library = await call("/library");
  if (library.scanning) return setTimeout(() => greet().catch((error) => console.warn(error)), SCAN_MS);
  show(library);
  await setting.set(GREETED, true);
}

/** A strip that goes by itself, except where its reasons are being read. */
function show({ counts, errors }) {
  addStyles();
  const strip = make("div", "ig-greeting", read(counts.lora ?? 0, Object.entries(errors)));
  strip.setAttribute("role", "status");
  const close = make("button", "ig-button ig-small", "×");
  close.setAttribute("aria-label", t("Close"));
  close.addEventListener("click", () => strip.remove());
  strip.append(make("div", "ig-dim", t("They are in the LoRA library in the sidebar. Open the template Prompt to picture to start.")), close);
  document.body.append(strip);
  setTimeout(() => strip.querySelector("details[open]") || strip.remove(), LIFE_MS);
}

/** The count; files that were left out unfold below it. */
function read(count, left) {
  const title = make("b", "", "Intelligent Generation: ");
  if (!left.length) return make("div", "", title, t("{count} LoRAs read", { count }));
  const files = left.map(([path, problem]) => make("li", "", `${path.split(/[\\/]/).pop()}: ${translation(problem)}`));
  const heading = t("{count} LoRAs read, {left} left out: why", { count, left: left.length });
  return make("details", "", make("summary", "", title, heading), make("ul", "", ...files));
}

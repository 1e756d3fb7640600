// *Exactly this again*: the widgets as they were for one picture.
import { app } from "../../../scripts/app.js";
import { call } from "./common.js";
import { nodeText, t } from "./language.js";
import { ancestor, setAt, setValue, together } from "./graph_tools.js";

/** Writes the prompt, the LoRAs, the settings and the seed of an image into the nodes that `node` hangs on. */
export async function exactlyAgain(node, generationId, index = 0, summary = t("Exactly this again")) {
  const { widgets } = await call(`/generations/${encodeURIComponent(generationId)}/again`);
  const linked = [];
  together(() => {
    for (const [type, values] of Object.entries(widgets[index])) {
      const target = ancestor(node, type);
      if (!target) continue;
      for (const [name, value] of Object.entries(values)) {
        const place = setAt(target, name);
        if (!place) linked.push(nodeText(type, name).name);
        else setValue(target, name, value);
      }
    }
  });
  const detail = linked.length
    ? t("Linked, and so not set: {names}.", { names: linked.join(", ") })
    : t("Prompt, LoRAs, settings and seed are set. Press Run.");
  app.extensionManager.toast.add({ severity: linked.length ? "warn" : "success", summary, detail, life: 5000 });
}

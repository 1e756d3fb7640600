// The report in a node: its card, or plain text where an output has none.
import { app } from "../../../scripts/app.js";
import { cardLines } from "./card.js";
import { make } from "./common.js";
import { ready, t, translation } from "./language.js";

/** Id of the setting that unfolds every line of a report. */
export const LONG_REPORTS = "IntelligentGeneration.Reports.Long";

/** A new report: its element, and how to show an output in it. */
export function makeReport() {
  const box = make("div", "ig-card");
  const placeholder = make("div", "ig-dim", t("shown after a run"));
  box.append(placeholder);
  ready.then(() => (placeholder.textContent = t("shown after a run")));
  const show = ({ text = [], card: [card] = [] }) => {
    if (!card && !text.length) return;
    const long = Boolean(app.ui.settings.getSettingValue(LONG_REPORTS));
    ready.then(() => {
      const read = new Set([...box.querySelectorAll("details[open]")].map(({ dataset }) => dataset.line));
      box.replaceChildren(...(card ? cardLines(card, long) : text.map((one) => make("div", "ig-text", translation(one)))));
      for (const line of box.querySelectorAll("details")) line.open ||= read.has(line.dataset.line); // still being read
    });
  };
  return { element: box, show };
}

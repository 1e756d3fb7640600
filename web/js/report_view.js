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
  const show = ({ text = [], card: cards = [] }) => {
    if (!cards.length && !text.length) return;
    const long = Boolean(app.ui.settings.getSettingValue(LONG_REPORTS));
    ready.then(() => {
      const read = new Set([...box.querySelectorAll("details[open]")].map(({ dataset }) => dataset.line));
      box.replaceChildren(...(cards.length ? variations(cards, long) : text.map((one) => make("div", "ig-text", translation(one)))));
      for (const line of box.querySelectorAll("details")) line.open ||= read.has(line.dataset.line); // still being read
    });
  };
  return { element: box, show };
}

/** The lines of one card; of several variations, those of each below its number. */
function variations(cards, long) {
  if (cards.length === 1) return cardLines(cards[0], long);
  return cards.flatMap((card, place) => {
    const number = t("Variation {number} of {count}", { number: place + 1, count: cards.length });
    return [make("div", "ig-variation", number), ...cardLines(card, long, place)];
  });
}

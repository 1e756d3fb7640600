// The `selection` input of LoRA Recommend: JSON text ↔ the LoRAs that a person confirmed, and what they were chosen for.
import { basisOf, setValue, valueOf, withoutSpaces } from "./graph_tools.js";

/** {loras: [{lora, strength, …}], chosenFor: {prompt, checkpoint, family} or null}; null: nothing is confirmed. */
export function readSelection(node) {
  const text = valueOf(node, "selection");
  if (typeof text !== "string" || !text.trim()) return null;
  try {
    const data = JSON.parse(text);
    const loras = (Array.isArray(data) ? data : data.loras).map((entry) =>
      typeof entry === "string" ? { lora: entry } : entry,
    );
    return { loras, chosenFor: data.chosen_for ?? null };
  } catch {
    return null; // the server says what is wrong with it
  }
}

/** Writes the confirmed LoRAs; `chosenFor` null: they count as chosen for any prompt. */
export function writeSelection(node, loras, chosenFor) {
  setValue(node, "selection", JSON.stringify(chosenFor ? { loras, chosen_for: chosenFor } : loras));
}

export function clearSelection(node) {
  setValue(node, "selection", "");
}

/** Names of what has changed since the selection was made, as far as the page can tell without a run. */
export function staleParts(node, chosenFor) {
  if (!chosenFor) return [];
  const now = basisOf(node);
  const known = { ...chosenFor, prompt: withoutSpaces(chosenFor.prompt ?? "") };
  return Object.entries(now)
    .filter(([name, value]) => value !== null && (known[name] ?? "") !== value)
    .filter(([name]) => name !== "checkpoint" || known.checkpoint)
    .map(([name]) => name);
}

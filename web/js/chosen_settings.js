// Param Optimize: beside each setting that is left to the pack, the value that it chose last.
import { onChange, valueOf, widgetOf } from "./graph_tools.js";
import { t } from "./language.js";

const NAMES = ["steps", "cfg", "sampler", "scheduler", "width", "height"];
const AUTOMATIC = new Set([0, "auto"]);

/** Returns how to show an execution's output in the labels of the node's widgets. */
export function chosenSettings(node) {
  const names = new Map(); // as the page translates them
  let chosen = {};
  const label = () => {
    for (const [name, value] of Object.entries(chosen)) {
      const widget = widgetOf(node, name);
      if (!widget) continue;
      if (!names.has(name)) names.set(name, widget.label);
      const told = t("{name}: auto → {value}", { name: names.get(name) ?? name, value });
      widget.label = AUTOMATIC.has(valueOf(node, name)) ? told : names.get(name);
    }
    node.graph?.setDirtyCanvas?.(true, true);
  };
  for (const name of NAMES) onChange(widgetOf(node, name), label);
  return ({ settings: [found] = [] }) => {
    if (!found) return;
    chosen = found;
    label();
  };
}

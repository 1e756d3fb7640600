// Param Optimize: beside each setting that is left to the pack, the value that it chose last.
import { onChange, widgetOf } from "./graph_tools.js";

const NAMES = ["steps", "cfg", "sampler", "scheduler", "width", "height"];
const AUTOMATIC = new Set([0, "auto"]);

/** Returns how to show an execution's output in the labels of the node's widgets. */
export function chosenSettings(node) {
  let chosen = {};
  const label = () => {
    for (const [name, value] of Object.entries(chosen)) {
      const widget = widgetOf(node, name);
      if (widget) widget.label = AUTOMATIC.has(widget.value) ? `${name}: auto → ${value}` : name;
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

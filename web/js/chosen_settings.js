// Param Optimize: beside each setting that is left to the pack, the value that it chose last.
import { widgetOf } from "./graph_tools.js";

const AUTOMATIC = new Set([0, "auto"]);

/** Returns how to show an execution's output in the labels of the node's widgets. */
export function chosenSettings(node) {
  return ({ settings: [chosen] = [] }) => {
    for (const [name, value] of Object.entries(chosen ?? {})) {
      const widget = widgetOf(node, name);
      if (!widget) continue;
      widget.label = AUTOMATIC.has(widget.value) ? `${name}: auto → ${value}` : name;
    }
    node.graph?.setDirtyCanvas?.(true, true);
  };
}

// Finding nodes, widgets and what lies upstream, in the graph and inside its subgraphs.
import { app } from "../../../scripts/app.js";

const FILE_WIDGETS = ["ckpt_name", "unet_name", "model_name"];
const DEMO_LOADER = "EmbeddedDemoModel";
const FIRST_LOADER = "CheckpointOrFirst";
const DEMO = "embedded";
const AUTO = "auto";
const SUBGRAPH_INPUT = "-10"; // the id that ComfyUI gives the inputs of a subgraph inside it
const MODULE = `custom_nodes.${decodeURIComponent(new URL(import.meta.url).pathname).split("/extensions/")[1]?.split("/")[0]}`;

/** True for the definition of a node of this pack. Its category would not tell: the page translates it. */
export function isOurs(definition) {
  return definition?.python_module === MODULE;
}

/** The graph that holds all others, whichever is open. */
export function rootGraph() {
  return app.rootGraph ?? app.graph;
}

/** Every node of a type, those inside subgraphs included. */
export function nodesOf(type) {
  return allNodes().filter((node) => node.comfyClass === type);
}

function allNodes() {
  const root = rootGraph();
  const graphs = [root, ...(root.subgraphs?.values() ?? [])];
  return graphs.flatMap((graph) => graph._nodes ?? graph.nodes);
}

/** The key of a node's output among `app.nodeOutputs`. */
export function outputKey(node) {
  const inside = node.graph && node.graph !== rootGraph();
  return inside ? `${node.graph.id}:${node.id}` : String(node.id);
}

/** The widget of this name, or undefined. */
export function widgetOf(node, name) {
  return node.widgets?.find((widget) => widget.name === name);
}

/** Has `act` run after every change of a widget. */
export function onChange(widget, act) {
  if (!widget) return;
  const before = widget.callback;
  widget.callback = function () {
    const result = before?.apply(this, arguments);
    act();
    return result;
  };
}

/** An input's value as it is set; undefined where another node gives it. */
export function valueOf(node, name) {
  return setAt(node, name)?.widget?.value;
}

/** Sets an input where it is set, as a person would: the widget's callback runs, and undo can take it back. */
export function setValue(node, name, value) {
  const place = setAt(node, name);
  if (!place?.widget || place.widget.value === value) return;
  place.widget.value = value;
  place.widget.callback?.(value, app.canvas, place.node);
  changed(place.node);
}

const tracker = () => app.extensionManager?.workflow?.activeWorkflow?.changeTracker;

/** Tells ComfyUI that the workflow has changed: for undo, for its "unsaved" mark, and to draw it. */
export function changed(node) {
  const tracking = tracker();
  (tracking?.captureCanvasState ?? tracking?.checkState)?.call(tracking);
  node?.graph?.setDirtyCanvas?.(true, true);
}

/** Node → [height that it had before its widgets needed more, height that they made it]. */
const grown = new WeakMap();

/** The canvas: grows a node by what its widgets lack, and gives that back when they go. Nodes 2.0 fits by itself. */
export function fitHeight(node) {
  if (!LiteGraph.vueNodesMode) {
    const [usual, made] = grown.get(node) ?? [];
    const own = node.size[1] === made ? usual : node.size[1];
    const height = Math.max(node.computeSize()[1], own);
    if (height > own) grown.set(node, [own, height]);
    if (height !== node.size[1]) node.setSize([node.size[0], height]);
  }
  node.graph?.setDirtyCanvas?.(true, true);
}

/** Makes several changes one step of undo. */
export function together(change) {
  const tracking = tracker();
  changed(); // what was typed and is not noticed yet is a step of its own
  tracking?.beforeChange?.();
  try {
    change();
  } finally {
    tracking?.afterChange?.();
  }
}

/** The node that a widget's or an input's link comes from, or null. */
export function upstream(node, name) {
  const index = node.inputs?.findIndex((input) => input.name === name) ?? -1;
  return index < 0 ? null : (node.getInputNode(index) ?? null);
}

/** The node under the mouse, in either renderer; undefined where there is none. */
export function nodeUnderMouse() {
  const over = [...document.querySelectorAll(":hover")].at(-1);
  const id = over?.closest(".lg-node")?.dataset.nodeId;
  if (id) return app.canvas.graph.getNodeById(Number(id)) ?? undefined;
  return over?.tagName === "CANVAS" ? (app.canvas.node_over ?? undefined) : undefined;
}

/**
 * Where a widget's value is set: {node, widget}, of the subgraph node where it is promoted to that; null where another
 * node gives it. `widget` is undefined where there is none of this name.
 */
export function setAt(node, name) {
  const link = node.graph?.getLink?.(node.inputs?.find((input) => input.name === name)?.link);
  if (!link) return { node, widget: widgetOf(node, name) };
  if (String(link.origin_id) !== SUBGRAPH_INPUT) return null;
  const holder = allNodes().find((one) => one.subgraph === node.graph);
  return holder ? setAt(holder, node.graph.inputs[link.origin_slot].name) : null;
}

/** The nearest node of a type that `node` depends on, else the only one of that type, else null. */
export function ancestor(node, type) {
  let level = [node];
  const seen = new Set(level);
  while (level.length) {
    const found = level.find((one) => one.comfyClass === type && one !== node);
    if (found) return found;
    const above = level.flatMap((one) => (one.inputs ?? []).map((_, index) => one.getInputNode?.(index)));
    level = above.filter((one) => one && !seen.has(one));
    level.forEach((one) => seen.add(one));
  }
  const all = nodesOf(type);
  return all.length === 1 ? all[0] : null;
}

/** What a LoRA Recommend would choose for now: {prompt, checkpoint, family}, null where the page cannot tell. */
export function basisOf(node) {
  const analyze = upstream(node, "analysis");
  const prompt = analyze?.comfyClass === "PromptAnalyze" ? (valueOf(analyze, "prompt") ?? null) : null;
  const family = valueOf(node, "model_family") ?? "auto";
  return {
    prompt: prompt === null || prompt.includes("{") ? null : withoutSpaces(prompt), // {a|b} is drawn anew in each run
    checkpoint: checkpointOf(node),
    family: family === "auto" ? "" : family,
  };
}

function checkpointOf(node) {
  const loader = loaderOf(node);
  return loader && !loader.takesFirst ? loader.file : null; // else the server knows which it takes
}

/** What loads a node's model: {file}, its name without folders; `takesFirst`: the first of this machine in its place. */
export function loaderOf(node) {
  const seen = new Set();
  for (let found = upstream(node, "model"); found && !seen.has(found); found = upstream(found, "model")) {
    seen.add(found);
    if (found.comfyClass === DEMO_LOADER) return { file: DEMO };
    const file = FILE_WIDGETS.map((name) => valueOf(found, name)).find((text) => text);
    const takesFirst = found.comfyClass === FIRST_LOADER && !offeredFiles(found).includes(file);
    if (file) return { file: file.split(/[\\/]/).pop(), takesFirst };
  }
  return null;
}

/** The checkpoints of this machine, as a CheckpointOrFirst offers them. */
function offeredFiles(node) {
  const [, { options = [] } = {}] = node.constructor.nodeData.input.required.ckpt_name;
  return options.filter((name) => name !== AUTO);
}

export function withoutSpaces(text) {
  return text.split(/\s+/).filter(Boolean).join(" ");
}

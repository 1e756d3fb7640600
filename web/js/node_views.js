// Reports in the nodes, and stars for each image. Views only: all state lives in native widgets or in the database, so
// workflows and API prompts never depend on this file.
import { app } from "../../../scripts/app.js";
import { chosenSettings } from "./chosen_settings.js";
import { element, make } from "./common.js";
import { fitHeight, nodesOf, outputKey } from "./graph_tools.js";
import { later, ready, sentence, t } from "./language.js";
import { loraPictures } from "./lora_pictures.js";
import { loraRows } from "./lora_rows.js";
import { pickView } from "./picks.js";
import { ratingView } from "./ratings.js";
import { makeReport } from "./report_view.js";
import { refill, remember } from "./restore.js";
import { addStyles } from "./styles.js";

const MIN_WIDTH_PX = 320;
const NOTE_PX = 60;
const LABELS = { taken: later("Checkpoint that is used"), report: later("Report"), stars: later("Stars"), picks: later("Scouted pictures") };

/** Node id → function that adds its view and returns how to show an output: (node) => (output, justMade) => void. */
const VIEWS = {
  CheckpointOrFirst: lineView,
  LoRARecommend: (node) => both(picturedReport(node), loraRows(node)),
  ParamOptimize: (node) => both(reportView(node), chosenSettings(node)),
  MemoryPlan: reportView,
  Explain: reportView,
  Feedback: starView,
  SaveGeneration: noteView,
  IntelligentSampler: (node) => pickView(node, addView),
};

/** Node → how it shows an output. */
const shown = new WeakMap();

app.registerExtension({
  name: "intelligentgeneration.Views",

  nodeCreated(node) {
    const show = VIEWS[node.comfyClass]?.(node);
    if (!show) return;
    shown.set(node, show);
    node.setSize([Math.max(node.size[0], MIN_WIDTH_PX), node.size[1]]); // a loaded workflow sets its own size later
    const before = node.onExecuted;
    node.onExecuted = function (output) {
      before?.apply(this, arguments);
      remember(node, output ?? {});
      show(output ?? {}, true);
    };
  },

  /** After any workflow is opened, undo and redo included. */
  afterConfigureGraph() {
    refill(Object.keys(VIEWS), (node, output) => shown.get(node)?.(output)).catch((error) => console.warn(error));
  },

  /** After a tab switch, undo, a reload and *load job*: the nodes are new, their outputs are not. */
  onNodeOutputsUpdated(outputs) {
    for (const node of Object.keys(VIEWS).flatMap(nodesOf)) {
      const output = outputs[outputKey(node)];
      if (!output) continue;
      remember(node, output);
      shown.get(node)?.(output);
    }
  },
});

function both(...views) {
  return (...output) => views.forEach((show) => show(...output));
}

function lineView(node) {
  const line = make("div", "ig-line");
  addView(node, "taken", line, 40);
  return ({ text: [text] = [], reasons: [reason] = [] }) => (line.textContent = reason ? sentence(reason) : (text ?? ""));
}

function reportView(node) {
  const report = makeReport();
  addView(node, "report", report.element, 110);
  return report.show;
}

/** A report that is there only once there is something to tell. */
function noteView(node) {
  let report = null;
  return (output) => {
    if (!report && !output.text?.length) return;
    if (!report) {
      report = makeReport();
      addView(node, "report", report.element, NOTE_PX);
    }
    report.show(output.text?.length ? output : { text: [" "] });
  };
}

function picturedReport(node) {
  const [pictures, report] = [loraPictures(), makeReport()];
  const box = element("div", "display:flex; flex-direction:column; overflow:auto");
  report.element.style.flex = "1";
  box.append(pictures.element, report.element);
  addView(node, "report", box, 110);
  return both(pictures.show, report.show);
}

function starView(node) {
  const box = element("div", "overflow-y:auto; padding:2px 6px; font-size:12px");
  return ratingView(node, box, addView(node, "stars", box, 110));
}

/** Adds a view below the node's widgets. Returns how to set the height that it needs, in pixels. */
function addView(node, name, view, minHeight) {
  addStyles();
  let needed = minHeight;
  view.dataset.captureWheel = "true"; // Nodes 2.0: once clicked into, the wheel scrolls the view and not the canvas
  view.dataset.nodeType = node.comfyClass; // by which node_faces.js finds the node in Nodes 2.0
  view.tabIndex = 0;
  view.style.minHeight = `${needed}px`; // Nodes 2.0 reads the element's height, the canvas the option's
  const options = { serialize: false, hideInPanel: true, hideOnZoom: false, getMinHeight: () => needed };
  const widget = node.addDOMWidget(name, name, view, options); // the right side panel would set its width
  ready.then(() => (widget.label = t(LABELS[name]))); // in the lists of a subgraph's widgets
  widget.serialize = false; // options.serialize: not in prompts; this: not in workflows
  return (height) => {
    needed = Math.max(minHeight, height);
    view.style.minHeight = `${needed}px`;
    fitHeight(node);
  };
}

// Reports in the nodes, and stars for each image. Views only: all state lives in native widgets or in the database, so
// workflows and API prompts never depend on this file.
import { app } from "../../../scripts/app.js";
import { chosenSettings } from "./chosen_settings.js";
import { call, element } from "./common.js";
import { nodesOf, outputKey } from "./graph_tools.js";
import { loraRows } from "./lora_rows.js";

const STARS = 5;
const MIN_WIDTH_PX = 320;

/** Node id → function that adds its view and returns how to show an execution's output: (node) => (output) => void. */
const VIEWS = {
  LoRARecommend: (node) => both(reportView(node), loraRows(node)),
  ParamOptimize: (node) => both(reportView(node), chosenSettings(node)),
  MemoryPlan: (node) => reportView(node, "font-family:monospace; white-space:pre-wrap"), // its bars line up
  Explain: reportView,
  Feedback: starView,
};

/** Node → how it shows an output. */
const shown = new WeakMap();

app.registerExtension({
  name: "IntelligentGeneration.Views",

  nodeCreated(node) {
    const show = VIEWS[node.comfyClass]?.(node);
    if (!show) return;
    shown.set(node, show);
    const before = node.onExecuted;
    node.onExecuted = function (output) {
      before?.apply(this, arguments);
      show(output ?? {});
    };
  },

  /** After a tab switch, undo, a reload and *load job*: the nodes are new, their outputs are not. */
  onNodeOutputsUpdated(outputs) {
    for (const node of Object.keys(VIEWS).flatMap(nodesOf)) {
      const output = outputs[outputKey(node)];
      if (output) shown.get(node)?.(output);
    }
  },
});

function both(...views) {
  return (output) => views.forEach((show) => show(output));
}

function reportView(node, style = "") {
  // A text area: its text can be selected, copied and scrolled.
  const report = element("textarea", `resize:none; padding:4px 6px; ${style}`, {
    className: "comfy-multiline-input",
    readOnly: true,
    placeholder: "shown after a run",
  });
  addView(node, "report", report, 110);
  return ({ text = [] }) => (report.value = text.join("\n"));
}

function starView(node) {
  const box = element("div", "overflow-y:auto; padding:2px 6px; font-size:12px");
  addView(node, "stars", box, 60);
  return ({ text = [], feedback: [feedback] = [] }) => {
    if (!feedback) return;
    const { generation_id: generation, image_ids: images } = feedback;
    const status = element("div", "opacity:.8; user-select:text; overflow-wrap:anywhere", {
      textContent: text.join("\n"),
    });
    const rows = images.map((image, index) => {
      const rate = async (rating) => {
        const comments = node.widgets.find((widget) => widget.name === "comments")?.value ?? "";
        await call("/feedback", { generation_id: image, rating, comments });
        status.textContent = "";
      };
      return starRow(image, images.length > 1 ? `Image ${index + 1}` : "Your rating", rate);
    });
    box.replaceChildren(...rows.map((row) => row.element), status);
    call(`/generations/${encodeURIComponent(generation)}`).then(
      ({ ratings }) => {
        const rated = new Map(ratings.map((rating) => [rating.target_id, rating.rating]));
        rows.forEach((row, index) => row.show(rated.get(images[index]) ?? rated.get(generation) ?? 0));
        if (rated.size) status.textContent = ""; // the stars show it
      },
      (error) => (status.textContent = error.message),
    );
  };
}

function starRow(image, label, rate) {
  const row = element("div", "display:flex; align-items:center; gap:4px; min-height:28px");
  const name = element("span", "min-width:76px; opacity:.8", { textContent: label, title: image });
  const message = element("span", "margin-left:6px; opacity:.8");
  const stars = Array.from({ length: STARS }, (_, index) => {
    const star = element("button", "all:unset; cursor:pointer; font-size:20px; line-height:1; color:#e6b422", {
      title: `${index + 1} of ${STARS}`,
    });
    star.addEventListener("click", async () => {
      try {
        await rate(index + 1);
        show(index + 1);
        message.textContent = "saved";
      } catch (error) {
        message.textContent = error.message;
      }
    });
    return star;
  });
  const show = (rating) => stars.forEach((star, index) => (star.textContent = index < rating ? "★" : "☆"));
  show(0);
  row.append(name, ...stars, message);
  return { element: row, show };
}

function addView(node, name, view, minHeight) {
  view.dataset.captureWheel = "true"; // Nodes 2.0: once clicked into, the wheel scrolls the view and not the canvas
  view.dataset.nodeType = node.comfyClass; // by which node_faces.js finds the node in Nodes 2.0
  view.tabIndex = 0;
  view.style.minHeight = `${minHeight}px`; // Nodes 2.0 reads the element's height, the canvas the option's
  const widget = node.addDOMWidget(name, name, view, { serialize: false, getMinHeight: () => minHeight });
  widget.serialize = false; // options.serialize: not in prompts; this: not in workflows
  node.setSize([Math.max(node.size[0], MIN_WIDTH_PX), node.size[1]]); // a loaded workflow sets its own size later
}

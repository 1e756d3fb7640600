// Shows what the nodes report, and stars for each image. Views only: every state lives in native widgets or in the
// database, so workflows and API prompts never depend on this file.
import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { ComfyWidgets } from "../../../scripts/widgets.js";

const SHOWS_TEXT = new Set(["PromptAnalyze", "LoRARecommend", "ParamOptimize", "MemoryPlan", "Explain"]);
const STARS = 5;

function textView(node) {
  const { widget } = ComfyWidgets.STRING(node, "report", ["STRING", { multiline: true }], app);
  widget.serialize = false;
  widget.options.serialize = false;
  widget.options.read_only = true;
  if (widget.element) widget.element.readOnly = true;
  widget.serializeValue = () => undefined;
  widget.hidden = false;
  return widget;
}

async function rate(imageId, rating) {
  const response = await api.fetchApi("/intelligent_generation/feedback", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ generation_id: imageId, rating }),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
}

function starRow(imageId, label) {
  const row = document.createElement("div");
  row.style.cssText = "display:flex;align-items:center;gap:4px;font-size:18px;padding:2px 6px";
  const name = document.createElement("span");
  name.textContent = label;
  name.style.cssText = "font-size:12px;min-width:52px;opacity:.8";
  const message = document.createElement("span");
  message.style.cssText = "font-size:12px;opacity:.8";
  const stars = Array.from({ length: STARS }, (_, index) => {
    const star = document.createElement("button");
    star.textContent = "☆";
    star.title = `${index + 1} of ${STARS}`;
    star.style.cssText = "all:unset;cursor:pointer;color:#e6b422";
    star.addEventListener("click", async () => {
      try {
        await rate(imageId, index + 1);
        stars.forEach((other, position) => (other.textContent = position <= index ? "★" : "☆"));
        message.textContent = "saved";
      } catch (error) {
        message.textContent = error.message;
      }
    });
    return star;
  });
  row.append(name, ...stars, message);
  return row;
}

function starView(node) {
  const box = document.createElement("div");
  box.style.overflowY = "auto";
  const widget = node.addDOMWidget("stars", "stars", box, {
    serialize: false,
    hideOnZoom: false,
    getMinHeight: () => 34,
  });
  widget.serialize = false;
  return (feedback) => {
    const ids = feedback?.image_ids ?? [];
    box.replaceChildren(...ids.map((id, index) => starRow(id, ids.length > 1 ? `Image ${index + 1}` : "Rate")));
  };
}

app.registerExtension({
  name: "IntelligentGeneration.Views",

  nodeCreated(node) {
    const type = node.comfyClass;
    const views = [];
    if (SHOWS_TEXT.has(type) || type === "Feedback") {
      const report = textView(node);
      views.push((output) => (report.value = (output.text ?? []).join("\n")));
    }
    if (type === "Feedback") {
      const show = starView(node);
      views.push((output) => show(output.feedback?.[0]));
    }
    if (views.length === 0) return;
    const before = node.onExecuted;
    node.onExecuted = function (output) {
      before?.apply(this, arguments);
      views.forEach((view) => view(output ?? {}));
    };
  },
});

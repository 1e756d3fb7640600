// Scouted seeds as numbered pictures: a click or its number's key finishes one.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { element, make } from "./common.js";
import { fitHeight, onChange, outputKey, setValue, together, valueOf, widgetOf } from "./graph_tools.js";
import { t } from "./language.js";

const SHOWN_WHILE_SCOUTING = ["scout", "pick"];
const LAST_KEY = 9;
const TILE_PX = 116; // least width of a picture, as styles.js lays it out
const MARGIN_PX = 30; // of the node and the view
const TITLE_PX = 34; // below a picture
const AGAIN_PX = 40;
const MAX_HEIGHT_PX = 420;

/** Adds the pictures to an Intelligent Sampler, once there are any. Returns how to show an output. */
export function pickView(node, addView) {
  const box = element("div", "", { className: "ig-picks" });
  let setHeight = null;
  const unfold = () => expose(node, valueOf(node, "scout") > 0);
  onChange(widgetOf(node, "scout"), unfold);
  const configured = node.onConfigure;
  node.onConfigure = function () {
    configured?.apply(this, arguments);
    unfold();
  };
  const mark = () => {
    const picked = valueOf(node, "pick");
    for (const button of box.querySelectorAll("[data-pick]")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.pick) === picked));
    }
  };
  onChange(widgetOf(node, "pick"), mark);
  return (output) => {
    if (!output.scouted?.length) return;
    takeFiles(node, output);
    setHeight ??= addView(node, "picks", box, TILE_PX);
    setHeight(heightFor(output.scouted.length, node.size[0] - MARGIN_PX));
    const buttons = output.scouted.map((one) => pickButton(one, () => pick(node, one)));
    const again = element("button", "", { textContent: t("Scout again"), type: "button", className: "ig-scout-again" });
    again.addEventListener("click", () => queue(node, { pick: 0, seed: output.scouted.at(-1).seed + 1 }));
    box.replaceChildren(...buttons, again);
    box.onkeydown = (event) => {
      const chosen = /^[1-9]$/.test(event.key) && Number(event.key) <= LAST_KEY && output.scouted[event.key - 1];
      if (!chosen || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      pick(node, chosen);
    };
    mark();
  };
}

function heightFor(pictures, width) {
  const columns = Math.max(1, Math.floor(width / TILE_PX));
  return Math.min(MAX_HEIGHT_PX, Math.ceil(pictures / columns) * (width / columns + TITLE_PX) + AGAIN_PX);
}

/** Moves the pictures from ComfyUI's own grid, which has no labels and tells no clicks, to the scouted seeds. */
function takeFiles(node, output) {
  output.images?.forEach((file, index) => Object.assign(output.scouted[index] ?? {}, { file }));
  delete output.images;
  const shown = app.nodeOutputs?.[outputKey(node)]; // newer frontends keep a copy there
  if (shown?.images) app.nodeOutputs = { ...app.nodeOutputs, [outputKey(node)]: { ...shown, images: undefined, scouted: output.scouted } };
}

function pickButton({ pick: number, seed, file }, choose) {
  const button = element("button", "", { type: "button", className: "ig-pick", title: t("Finish seed {seed}", { seed }) });
  button.dataset.pick = number;
  button.setAttribute("aria-label", t("Finish picture {number}, seed {seed}", { number, seed }));
  const picture = element("img", "", { alt: "" });
  if (file) picture.src = api.apiURL(`/view?${new URLSearchParams(file)}`);
  picture.addEventListener("error", () => picture.remove());
  button.append(picture, make("span", "ig-seed", make("b", "", String(number)), ` ${seed}`));
  button.addEventListener("click", choose);
  return button;
}

/** The seed of the sampler's widget counts from the first scouted one; it must stay while one of them is finished. */
function pick(node, { pick: number, seed }) {
  queue(node, { pick: number, seed: seed - (number - 1) });
}

async function queue(node, { pick: number, seed }) {
  together(() => {
    setValue(node, "seed", seed);
    setValue(node, "pick", number);
    if (number) setValue(node, "control_after_generate", "fixed");
  });
  await app.queuePrompt(0, 1);
}

/** Shows the two widgets among the advanced ones for as long as they are used. */
function expose(node, scouting) {
  for (const name of SHOWN_WHILE_SCOUTING) {
    const widget = widgetOf(node, name);
    if (!widget) continue;
    Object.assign(widget.options, { advanced: !scouting });
    if (widget.visibility) widget.visibility.surfaces.vueNode = scouting ? "shown" : "advanced"; // of newer frontends
  }
  node.onAdvancedChange?.();
  node.widgets.splice(0, node.widgets.length, ...node.widgets); // Nodes 2.0 reads the options anew
  fitHeight(node);
}

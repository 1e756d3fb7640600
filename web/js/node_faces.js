// The short face of our nodes: advanced widgets are folded, and a number that stands for a word is shown as that word.
// Both renderers keep the number as the widget's value.
import { app } from "../../../scripts/app.js";
import { fitHeight, isOurs } from "./graph_tools.js";
import { choiceText, ready, t } from "./language.js";

const FOLD = "advanced inputs";

app.registerExtension({
  name: "intelligentgeneration.Faces",

  beforeRegisterNodeDef(_, definition) {
    if (!isOurs(definition)) return;
    const inputs = { ...definition.input?.required, ...definition.input?.optional };
    for (const [name, [, options]] of Object.entries(inputs)) {
      if (options?.shown_as) ready.then(() => addRule(definition.name, name, ...options.shown_as));
    }
  },

  nodeCreated(node) {
    const definition = node.constructor.nodeData;
    if (!isOurs(definition)) return;
    const inputs = { ...definition.input?.required, ...definition.input?.optional };
    for (const widget of node.widgets ?? []) {
      const options = inputs[widget.name]?.[1];
      if (options?.shown_as) showAs(widget, ...options.shown_as);
      if (widget.type === "combo") Object.assign(widget.options, { getOptionLabel: choiceText });
      if (widget.options?.advanced) fold(node, widget);
      if (widget.inputEl?.placeholder === widget.name) widget.inputEl.placeholder = widget.label ?? widget.name; // as the page translates it
    }
    if (node.widgets?.some((widget) => widget.options?.advanced)) addFoldButton(node);
  },
});

/** The canvas: draws `text` in place of `value`. */
function showAs(widget, value, text) {
  const { get } = inherited(widget, "_displayValue") ?? {};
  if (!get) return;
  Object.defineProperty(widget, "_displayValue", {
    get() {
      return this.value === value && !this.computedDisabled ? t(text) : get.call(this);
    },
  });
}

function inherited(object, name) {
  for (let at = object; at; at = Object.getPrototypeOf(at)) {
    const found = Object.getOwnPropertyDescriptor(at, name);
    if (found) return found;
  }
}

/** Nodes 2.0: lays `text` over the field of a node that holds one of our views (see `addView`). */
function addRule(type, name, value, text) {
  const field = `.lg-node:has([data-node-type="${type}"]) [aria-label="${name}"] div:has(> input[aria-valuenow="${value}"]:not(:focus))`;
  style().sheet.insertRule(`${field} > input { color: transparent }`);
  style().sheet.insertRule(`${field}::after { content: "${t(text)}"; position: absolute; inset: 0; display: grid; place-items: center start; padding: 4px; pointer-events: none }`);
}

let sheet;
function style() {
  sheet ??= document.head.appendChild(document.createElement("style"));
  return sheet;
}

/** The canvas: takes an advanced widget out of the node until they are shown, except where something is linked to it. */
function fold(node, widget) {
  const always = () => app.ui.settings.getSettingValue("Comfy.Node.AlwaysShowAdvancedWidgets");
  const folded = () => Boolean(widget.options.advanced) && !node.showAdvanced && node.getSlotFromWidget?.(widget)?.link == null && !always();
  if (!widget.visibility) {
    Object.defineProperty(widget, "hidden", { get: folded, set() {} });
    return;
  }
  const refold = () => (widget.visibility.surfaces.canvas = folded() ? "never" : "shown"); // of newer frontends
  refold();
  onCall(node, "onConnectionsChange", refold);
  onCall(node, "onConfigure", refold);
  onCall(node, "onAdvancedChange", refold);
}

/** Has `act` run after each call of a method of the node, whether it has one yet or not. */
function onCall(node, name, act) {
  const before = node[name];
  node[name] = function () {
    const result = before?.apply(this, arguments);
    act();
    return result;
  };
}

/** The canvas: a button that folds and unfolds; Nodes 2.0 has one of its own in the footer. */
function addFoldButton(node) {
  const button = node.addWidget("button", FOLD, null, () => {
    node.showAdvanced = !node.showAdvanced;
    node.onAdvancedChange?.();
    fitHeight(node);
    app.canvas.bringToFront(node); // it may grow over the next one
  });
  button.serialize = false;
  const views = node.widgets.findIndex((widget) => widget !== button && widget.serialize === false);
  if (views >= 0) node.widgets.splice(views, 0, node.widgets.pop()); // before rows and reports, whichever came first
  Object.assign(button.options, { serialize: false, canvasOnly: true });
  if (!button.visibility) button.options.hidden = true; // for Nodes 2.0; newer frontends would hide it in the canvas too
  Object.defineProperty(button, "label", {
    get: () => (node.showAdvanced ? t("Hide advanced") : t("Show advanced")),
    set() {},
  });
}

app.registerExtension({
  name: "intelligentgeneration.CheckpointOrFirst",

  /** A checkpoint that is not on this machine is replaced by the server: it is no missing model. */
  nodeCreated(node) {
    if (node.comfyClass !== "CheckpointOrFirst") return;
    const widget = node.widgets.find(({ name }) => name === "ckpt_name");
    const before = node.onConfigure;
    node.onConfigure = function () {
      before?.apply(this, arguments);
      const { values } = widget.options;
      if (Array.isArray(values) && !values.includes(widget.value)) {
        widget.options = { ...widget.options, values: [...values, widget.value] };
      }
    };
  },
});

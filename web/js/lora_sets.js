// Named sets of LoRAs: kept from the selected LoRA Recommend, used there, exported as JSON.
import { attempted, call, make } from "./common.js";
import { targetNode } from "./library_cards.js";
import { addLoras, currentLoras } from "./lora_rows.js";
import { counted, t } from "./language.js";

/** The sets' view. `tell(message)` shows a problem. Returns its element, and `load`. */
export function loraSets(tell) {
  const root = make("div", "ig-column");
  const attempt = (work) => attempted(work, tell);
  const node = () => {
    const found = targetNode();
    if (!found) throw new Error(t("Select the LoRA Recommend node that shall use it."));
    return found;
  };
  const name = make("input", "ig-field");
  name.placeholder = t("Name of the set");
  name.setAttribute("aria-label", t("Name of the set"));
  const keep = async () => {
    const loras = currentLoras(node()).map(({ lora, strength = 1 }) => ({ lora, strength }));
    if (!loras.length) throw new Error(t("The node has no LoRA yet: press Suggest, or use one from here."));
    draw(await call("/library/sets", { name: name.value, loras }));
  };
  const list = make("div", "");
  const draw = ({ sets }) => {
    const rows = Object.entries(sets).map(([title, loras]) => row(title, loras));
    const hint = t("No set yet. Suggest or use LoRAs in the node, name them above, and keep them as a set.");
    list.replaceChildren(...(rows.length ? rows : [make("div", "ig-dim", hint)]));
  };
  const row = (title, loras) => {
    const names = loras.map(({ lora, strength }) => `${lora} ${strength}`).join("\n");
    const made = make(
      "div",
      "ig-row",
      make("span", "ig-label", title),
      make("span", "ig-dim", counted(loras.length, t("1 LoRA"), t("{count} LoRAs"))),
      button(t("Use"), attempt(() => addLoras(node(), loras))),
      button(t("Export"), () => download(title, loras)),
      button(t("Delete"), attempt(async () => draw(await call("/library/sets", { name: title, loras: null })))),
    );
    made.title = names;
    return made;
  };
  const file = Object.assign(make("input", ""), { type: "file", accept: "application/json", hidden: true });
  file.addEventListener("change", attempt(async () => {
    const read = JSON.parse(await file.files[0].text());
    draw(await call("/library/sets", { name: read.name, loras: read.loras }));
  }));
  root.append(
    make("div", "ig-row", name, button(t("Keep this choice as a set"), attempt(keep)), button(t("Import"), () => file.click()), file),
    list,
  );
  return { element: root, load: async () => draw(await call("/library/sets")) };
}

function button(text, act) {
  const made = make("button", "ig-button", text);
  made.addEventListener("click", act);
  return made;
}

function download(name, loras) {
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify({ name, loras }, null, 1)], { type: "application/json" }));
  link.download = `${name}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

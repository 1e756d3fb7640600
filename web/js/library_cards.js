// Every LoRA of the library as a card: search, filters, and a grid that holds only the cards in view.
import { app } from "../../../scripts/app.js";
import { address, call, make } from "./common.js";
import { loaderOf, nodesOf } from "./graph_tools.js";
import { counted as countOf, later, t, word } from "./language.js";
import { virtualGrid } from "./virtual_grid.js";

const TILE_WIDTH_PX = 128;
const TILE_HEIGHT_PX = 188;
const PICTURE_PAUSE_MS = 120;
const UNKNOWN = "unknown";

/** The LoRA Recommend that the library works on: the selected one, else the only one; undefined where none is meant. */
export function targetNode() {
  const nodes = nodesOf("LoRARecommend");
  const selected = nodes.filter((node) => app.canvas.selectedItems?.has?.(node));
  return selected[0] ?? (nodes.length === 1 ? nodes[0] : undefined);
}

/** File name of the checkpoint before that node; "" where nothing tells. */
export async function currentCheckpoint() {
  const node = targetNode();
  const { file = "", takesFirst } = (node && loaderOf(node)) ?? {};
  return takesFirst ? (await call(`/library/checkpoint?named=${encodeURIComponent(file)}`)).checkpoint : file;
}

/** The cards' view; `open(id)` shows the details of one. Returns its element, and `load` for its data. */
export function libraryCards(open) {
  const search = make("input", "ig-field ig-wide");
  search.type = "search";
  search.placeholder = t("Find a LoRA: name, trigger word …");
  search.setAttribute("aria-label", t("Find a LoRA"));
  const base = choice(t("Base model"));
  const kind = choice(t("Kind"));
  const only = choice(t("Show"));
  const count = make("div", "ig-dim");
  count.setAttribute("aria-live", "polite");
  const draw = (lora) => tile(lora, () => open(lora.id));
  const grid = virtualGrid({ draw, minWidth: TILE_WIDTH_PX, height: TILE_HEIGHT_PX, label: t("LoRAs") });
  let loras = [];

  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = loras.filter(
      (lora) =>
        (!base.value || lora.base === base.value) &&
        (!kind.value || lora.kind === kind.value) &&
        ONLY[only.value](lora) &&
        words.every((each) => lora.text.includes(each)),
    );
    const none = words.length ? t("No LoRA holds all of these words.") : t("No LoRA is like this.");
    count.textContent = found.length ? countOf(found.length, t("1 LoRA"), t("{count} LoRAs")) : none;
    grid.show(found);
  };
  for (const field of [search, base, kind, only]) field.addEventListener("input", filter);
  const element = make("div", "ig-column", make("div", "ig-row", search, base, kind, only), count, grid.element);

  const load = async () => {
    const answer = await call(`/library/cards?checkpoint=${encodeURIComponent(await currentCheckpoint())}`);
    loras = answer.loras;
    for (const lora of loras) lora.text = `${lora.title} ${lora.lora} ${lora.words} ${lora.base}`.toLowerCase();
    fillChoice(base, t("All base models"), counted(loras, "base"), word);
    fillChoice(kind, t("All kinds"), counted(loras, "kind"), word);
    fillChoice(only, t("Everything"), Object.keys(ONLY).filter(Boolean), t);
    filter();
  };
  return { element, load };
}

const ONLY = {
  "": () => true,
  [later("Fits this checkpoint")]: (lora) => lora.fits === true,
  [later("Favourites")]: (lora) => lora.favourite,
  [later("Used always")]: (lora) => lora.always != null,
  [later("Never suggested")]: (lora) => lora.excluded,
};

function choice(label) {
  const made = make("select", "ig-field");
  made.setAttribute("aria-label", label);
  return made;
}

function fillChoice(select, all, values, name) {
  const before = select.value;
  const options = ["", ...values].map((value) => {
    const option = make("option", "", value ? name(value) : all);
    option.value = value;
    return option;
  });
  select.replaceChildren(...options);
  select.value = values.includes(before) ? before : "";
}

/** The values of a field, the most frequent first, the unknown last. */
function counted(loras, field) {
  const counts = new Map();
  for (const lora of loras) counts.set(lora[field], (counts.get(lora[field]) ?? 0) + 1);
  const known = [...counts].filter(([name]) => name !== UNKNOWN).sort((one, other) => other[1] - one[1]);
  return [...known, ...[...counts].filter(([name]) => name === UNKNOWN)].map(([name]) => name);
}

function tile(lora, open) {
  const picture = make("span", "ig-picture", lora.title.slice(0, 1).toUpperCase());
  setTimeout(() => picture.isConnected && showPreview(picture, lora.id), PICTURE_PAUSE_MS); // not while scrolling past
  const fits = { true: t("fits"), false: t("does not fit") }[lora.fits];
  const chips = make(
    "span",
    "ig-chips",
    lora.base !== UNKNOWN && make("span", "ig-chip", word(lora.base)),
    lora.kind !== UNKNOWN && make("span", "ig-chip", word(lora.kind)),
    fits && make("span", `ig-chip ${lora.fits ? "ig-fits" : "ig-misfit"}`, fits),
    lora.always != null && make("span", "ig-chip", t("always")),
    lora.excluded && make("span", "ig-chip", t("never")),
  );
  const button = make("button", "ig-tile", picture, make("span", "ig-title", `${lora.favourite ? "★ " : ""}${lora.title}`), chips);
  button.title = lora.title;
  button.addEventListener("click", open);
  return make("div", "", button);
}

function showPreview(place, id) {
  const image = make("img");
  image.alt = "";
  image.addEventListener("load", () => place.replaceChildren(image));
  image.src = address(`/preview?optional=1&name=${encodeURIComponent(id)}`);
}

// Pictures made, newest first: search by prompt, filter by stars, make one again, use its LoRAs.
import { address, call, make } from "./common.js";
import { targetNode } from "./library_cards.js";
import { counted, language, t } from "./language.js";
import { setWidget } from "./graph_tools.js";
import { virtualGrid } from "./virtual_grid.js";

const TILE_WIDTH_PX = 128;
const TILE_HEIGHT_PX = 210;
const LIMIT = 200;

/** The history's view. `again(node, id, index)` writes a picture's settings; `tell(message)` shows a problem. */
export function historyView(again, tell) {
  const search = Object.assign(make("input", "ig-field ig-wide"), { type: "search", placeholder: t("Find a picture by its prompt") });
  search.setAttribute("aria-label", t("Find a picture by its prompt"));
  const stars = make("select", "ig-field");
  stars.setAttribute("aria-label", t("Stars"));
  const levels = [["", t("All pictures")], ["1", t("Rated")], ["3", "★★★ +"], ["4", "★★★★ +"], ["5", "★★★★★"], ["0", t("Not rated")]];
  stars.append(...levels.map(([value, text]) => Object.assign(make("option", "", text), { value })));
  const count = make("div", "ig-dim");
  count.setAttribute("aria-live", "polite");
  const attempt = (work) => async () => {
    try {
      await work();
      tell("");
    } catch (error) {
      tell(error.message);
    }
  };
  const draw = (picture) => tile(picture, {
    again: attempt(() => again(needed(), picture.generation, picture.index)),
    loras: attempt(async () => {
      const { widgets } = await call(`/generations/${encodeURIComponent(picture.generation)}/again`);
      setWidget(needed(), "selection", widgets[picture.index].LoRARecommend.selection);
    }),
  });
  const grid = virtualGrid({ draw, minWidth: TILE_WIDTH_PX, height: TILE_HEIGHT_PX, label: t("Pictures") });
  let pictures = [];
  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const enough = { "": () => true, 0: (rating) => !rating }[stars.value] ?? ((rating) => rating >= Number(stars.value));
    const found = pictures.filter(({ prompt, rating }) => enough(rating) && words.every((each) => prompt.toLowerCase().includes(each)));
    count.textContent = found.length ? counted(found.length, t("1 picture"), t("{count} pictures")) : t("No picture here yet.");
    grid.show(found);
  };
  for (const field of [search, stars]) field.addEventListener("input", filter);
  const load = async () => {
    const made = await call(`/generations?limit=${LIMIT}`);
    pictures = made.flatMap((each) =>
      each.image_ids.map((image, index) => ({
        image,
        index,
        generation: each.id,
        prompt: each.prompt,
        made: each.created_at,
        rating: Math.max(0, ...each.ratings),
      })),
    );
    filter();
  };
  return { element: make("div", "ig-column", make("div", "ig-row", search, stars), count, grid.element), load };
}

function needed() {
  const node = targetNode();
  if (!node) throw new Error(t("Open a workflow with one LoRA Recommend, or select it."));
  return node;
}

function tile({ image, prompt, rating, made }, { again, loras }) {
  const picture = make("span", "ig-picture");
  const shown = Object.assign(make("img"), { alt: prompt, loading: "lazy", src: address(`/thumbnail?id=${encodeURIComponent(image)}`) });
  shown.addEventListener("error", () => shown.remove());
  picture.append(shown);
  const text = make("span", "ig-title", prompt);
  text.title = `${prompt}\n${new Date(made).toLocaleString(language())}`;
  const starred = make("span", "ig-dim", rating ? "★".repeat(rating) : t("not rated"));
  return make("div", "ig-tile", picture, text, starred, make("span", "ig-row", button(t("Again"), again), button(t("Use these LoRAs"), loras)));
}

function button(text, act) {
  const made = make("button", "ig-button ig-small", text);
  made.addEventListener("click", act);
  return made;
}

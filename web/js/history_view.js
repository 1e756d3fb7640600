// Pictures made, newest first: search by prompt, filter by stars, make one again, use its LoRAs.
import { call, make } from "./common.js";
import { targetNode } from "./library_cards.js";
import { counted, language, t } from "./language.js";
import { setValue } from "./graph_tools.js";
import { ratingRow, toldLine } from "./ratings.js";
import { virtualGrid } from "./virtual_grid.js";

const TILE_WIDTH_PX = 128;
const TILE_HEIGHT_PX = 218;
const LIMIT = 500;

/** The history's view, in which pictures are rated too. `again(node, id, index)` writes a picture's settings. */
export function historyView(again) {
  const search = Object.assign(make("input", "ig-field ig-wide"), { type: "search", placeholder: t("Find a picture by its prompt") });
  search.setAttribute("aria-label", t("Find a picture by its prompt"));
  const stars = make("select", "ig-field");
  stars.setAttribute("aria-label", t("Stars"));
  const levels = [["", t("All pictures")], ["1", t("Rated")], ["3", "★★★ +"], ["4", "★★★★ +"], ["5", "★★★★★"], ["0", t("Not rated")], ["asked", t("Rate these 8")]];
  stars.append(...levels.map(([value, text]) => Object.assign(make("option", "", text), { value })));
  const count = make("div", "ig-dim");
  count.setAttribute("aria-live", "polite");
  const told = toldLine();
  const draw = (picture) => tile(picture, again, told);
  const grid = virtualGrid({ draw, minWidth: TILE_WIDTH_PX, height: TILE_HEIGHT_PX, label: t("Pictures") });
  let pictures = [];
  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const enough = { "": () => true, 0: (rating) => !rating }[stars.value] ?? ((rating) => rating >= Number(stars.value));
    const fits = stars.value === "asked" ? ({ asked }) => asked : ({ rating }) => enough(rating);
    const found = pictures.filter((one) => fits(one) && words.every((each) => one.prompt.toLowerCase().includes(each)));
    count.textContent = found.length ? counted(found.length, t("1 picture"), t("{count} pictures")) : pictures.length ? t("No picture fits this search.") : t("No picture here yet.");
    grid.show(found);
  };
  for (const field of [search, stars]) field.addEventListener("input", filter);
  const load = async () => {
    const made = await call(`/generations?limit=${LIMIT}`);
    const asked = new Set((await call("/generations?to_rate=8")).map((one) => one.id));
    pictures = made.flatMap((each) =>
      each.image_ids.map((image, index) => ({
        image,
        index,
        generation: each.id,
        prompt: each.prompt,
        made: each.created_at,
        rating: each.image_ratings[index],
        asked: asked.has(each.id), // their stars would tell the most
      })),
    );
    filter();
  };
  return { element: make("div", "ig-column", make("div", "ig-row", search, stars), count, told, grid.element), load };
}

function needed() {
  const node = targetNode();
  if (!node) throw new Error(t("Open a workflow with one LoRA Recommend, or select it."));
  return node;
}

function tile(picture, again, told) {
  const { image, index, generation, prompt, rating, made } = picture;
  const useLoras = async () => {
    const node = needed();
    const { widgets } = await call(`/generations/${encodeURIComponent(generation)}/again`);
    setValue(node, "selection", widgets[index].LoRARecommend.selection);
  };
  const actions = [
    { text: t("Again"), title: t("Writes this picture's prompt, LoRAs, settings and seed into the nodes"), act: async () => again(needed(), generation, index) },
    { text: t("Use these LoRAs"), title: t("Writes this picture's LoRAs into LoRA Recommend"), act: useLoras },
  ];
  const row = ratingRow({ image, label: prompt, actions, told, rated: (stars) => (picture.rating = stars) });
  row.show(rating);
  const shown = make("div", "ig-tile", row.element);
  shown.title = `${prompt}\n${new Date(made).toLocaleString(language())}`;
  return shown;
}

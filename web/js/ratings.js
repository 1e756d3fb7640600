// Stars on the picture: a row an image, with its thumbnail. Keys 1 to 5 rate the picture that is focused or under the
// mouse, there or large in the node that saves it; 0 takes the rating back.
import { exactlyAgain } from "./again.js";
import { address, call, element } from "./common.js";
import { nodesOf, nodeUnderMouse, upstream, valueOf } from "./graph_tools.js";
import { sentence, t, translation, word } from "./language.js";

const STARS = 5;
const KEYS = /^[0-5]$/;
const TILE_PX = [150, 154]; // of an image among several, as styles.js lays it out
const TOLD_PX = 36; // of what was learned, below them
const MAX_HEIGHT_PX = 380;
const MAX_LABEL = 40; // characters of a label before what is told of it

let hovered = null;
/** Feedback node → its rows. */
const shownRows = new WeakMap();
let prepared = false;

/** Adds the keys to the page, once. */
function prepare() {
  if (prepared) return;
  prepared = true;
  document.addEventListener("keydown", onKey, { capture: true });
}

function onKey(event) {
  const { key, target, ctrlKey, metaKey, altKey } = event;
  const row = target.closest?.(".ig-rating") ?? (isTyping(target) ? null : hovered?.isConnected ? hovered : rowOfLargePicture());
  if (!row || !KEYS.test(key) || ctrlKey || metaKey || altKey) return;
  event.preventDefault();
  event.stopImmediatePropagation(); // the page has shortcuts of its own on some of these
  row.rate(Number(key));
}

/** The row of the picture that the node under the mouse shows, where that takes the images of a Feedback node. */
function rowOfLargePicture() {
  const node = nodeUnderMouse();
  const source = node && upstream(node, "images");
  const feedback = source && nodesOf("Feedback").find((one) => one !== node && upstream(one, "images") === source);
  const rows = shownRows.get(feedback) ?? [];
  return rows.length > 1 ? rows[node.imageIndex ?? node.overIndex] : rows[0];
}

function isTyping({ tagName, isContentEditable }) {
  return isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(tagName);
}

/**
 * Row of one image: {element, show(stars)}. `label` names it to screen readers too. `actions`: of its further buttons
 * {text, title, act}. `told`: where it is said what was learned, else in the row. `rated(stars)` runs after a rating.
 */
export function ratingRow({ image, label, comments, actions = [], told, rated }) {
  prepare();
  const row = element("div", "", { className: "ig-rating", tabIndex: 0 });
  row.setAttribute("role", "group");
  row.setAttribute("aria-label", t("{label}: keys 1 to 5 rate it, 0 takes the rating back", { label }));
  const picture = element("img", "", { alt: label, loading: "lazy" });
  picture.addEventListener("error", () => picture.remove());
  picture.src = address(`/thumbnail?optional=1&id=${encodeURIComponent(image)}`);
  const name = element("span", "opacity:.85; min-width:56px; font-size:12px", { textContent: label });
  const own = told ? null : toldLine();
  const tell = (text) => (own ? (own.textContent = text) : (told.textContent = `${short(label)}: ${text}`));
  const group = element("span", "display:inline-flex");
  group.setAttribute("role", "radiogroup");
  group.setAttribute("aria-label", t("Stars for {label}", { label }));
  let given = 0;
  const show = (rating) => {
    given = rating;
    stars.forEach((star, index) => {
      star.textContent = index < rating ? "★" : "☆";
      star.setAttribute("aria-checked", String(index + 1 === rating));
      star.tabIndex = index + 1 === (rating || 1) ? 0 : -1;
    });
  };
  row.rate = async (rating) => {
    try {
      tell(rating ? await store(image, rating, comments?.() ?? "") : await takeBack(image, given));
      show(rating);
      rated?.(rating);
    } catch (error) {
      tell(error.message);
    }
  };
  const stars = Array.from({ length: STARS }, (_, index) => starButton(index + 1, row.rate));
  group.append(...stars);
  group.addEventListener("keydown", (event) => step(event, stars));
  row.addEventListener("pointerenter", () => (hovered = row));
  row.addEventListener("pointerleave", () => (hovered = hovered === row ? null : hovered));
  row.append(picture, name, group, ...actions.map((action) => actionButton(action, tell)), ...(own ? [own] : []));
  show(0);
  return { element: row, show };
}

function short(label) {
  return label.length > MAX_LABEL ? `${label.slice(0, MAX_LABEL)} …` : label;
}

/** Where it is said what a rating did. */
export function toldLine() {
  const told = element("div", "", { className: "ig-told" });
  told.setAttribute("role", "status");
  return told;
}

function starButton(rating, rate) {
  const star = element("button", "", { className: "ig-star", title: t("{rating} of {stars}", { rating, stars: STARS }), type: "button" });
  star.setAttribute("role", "radio");
  star.setAttribute("aria-label", rating === 1 ? t("1 star") : t("{rating} stars", { rating }));
  star.addEventListener("click", () => rate(rating));
  return star;
}

/** Arrow keys move the focus among the stars. */
function step(event, stars) {
  const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
  if (!by) return;
  event.preventDefault();
  event.stopPropagation();
  stars[(stars.indexOf(document.activeElement) + by + stars.length) % stars.length].focus();
}

function actionButton({ text, title, act }, tell) {
  const button = element("button", "", { className: "ig-again", textContent: text, title, type: "button" });
  button.addEventListener("click", () => act().catch((error) => tell(error.message)));
  return button;
}

async function store(image, rating, comments) {
  const { learned = [] } = await call("/feedback", { generation_id: image, rating, comments });
  const told = learned.map(sentence);
  return [t("saved"), told.join("; ")].filter(Boolean).join(" — ");
}

async function takeBack(image, given) {
  if (!given) return t("there is no rating to take back");
  await call("/feedback/remove", { generation_id: image });
  return t("taken back");
}

/** Fills `box` with the rows of what a Feedback node can rate: one generation, or variations side by side.
 * `setHeight` makes room for them. */
export function ratingView(node, box, setHeight) {
  return async ({ text = [], feedback = [] }) => {
    if (!feedback.length) return;
    const status = element("div", "opacity:.85; user-select:text; overflow-wrap:anywhere; font-size:12px");
    status.textContent = text.map(translation).join("\n");
    const images = feedback.flatMap((one) => one.image_ids);
    const told = images.length > 1 ? toldLine() : undefined;
    const again = feedback.length > 1 ? t("Keep this one") : t("Exactly this again");
    const title = t("Writes this picture's prompt, LoRAs, settings and seed into the nodes");
    const rows = feedback.flatMap((one, place) =>
      one.image_ids.map((image, index) => ({
        ...one,
        image,
        row: ratingRow({
          image,
          label: labelOf(feedback, place, index),
          told,
          comments: () => valueOf(node, "comments"),
          actions: [{ text: again, title, act: () => take(node, one.generation_id, image, index, feedback.length > 1) }],
        }),
      })),
    );
    const grid = element("div", "", { className: rows.length > 1 ? "ig-ratings" : "" });
    grid.append(...rows.map(({ row }) => row.element));
    shownRows.set(node, rows.map(({ row }) => row.element));
    box.replaceChildren(grid, ...(told ? [told] : []), status);
    const columns = Math.max(1, Math.floor((node.size[0] - 20) / TILE_PX[0]));
    setHeight(Math.min(MAX_HEIGHT_PX, told ? Math.ceil(rows.length / columns) * TILE_PX[1] + TOLD_PX : 0));
    try {
      for (const { generation_id: generation } of feedback) {
        const { ratings } = await call(`/generations/${encodeURIComponent(generation)}`);
        const rated = new Map(ratings.map((rating) => [rating.target_id, rating.rating]));
        const own = rows.filter((one) => one.generation_id === generation);
        own.forEach(({ image, row }) => row.show(rated.get(image) ?? rated.get(generation) ?? 0));
      }
      status.textContent = "";
    } catch (error) {
      status.textContent = error.message;
    }
  };
}

/** Sets the nodes to one picture; of variations, that one was picked, which is learned from. */
async function take(node, generation, image, index, picked) {
  await exactlyAgain(node, generation, index, picked ? t("Keep this one") : undefined);
  if (picked) await call("/feedback/pick", { generation_id: image });
}

/** "Image 2", or of variations what this one has of its own. */
function labelOf(feedback, place, index) {
  const { about = {}, image_ids: images } = feedback[place];
  const image = images.length > 1 ? t("Image {number}", { number: index + 1 }) : "";
  if (feedback.length === 1) return image || t("Your rating");
  const own = Object.entries(about).filter(([name, value]) => feedback.some((one) => one.about?.[name] !== value));
  const told = own.map(([name, value]) => (name === "loras" ? value || t("no LoRA") : `${word(name)} ${value}`));
  return [`${place + 1}`, told.join(", "), image].filter(Boolean).join(" · ");
}

// A scrolling grid that holds only the tiles in view, so that ten thousand cost as little as ten.
import { make } from "./common.js";

const SPARE_ROWS = 2;

/**
 * A grid of tiles of one size. `draw(item)` makes a tile. Returns its element and `show(items)`.
 * Arrow keys move the focus between tiles, also to those that are not drawn yet.
 */
export function virtualGrid({ draw, minWidth, height, gap = 8, label }) {
  const inner = make("div", "");
  inner.style.position = "relative";
  const box = make("div", "ig-grid", inner);
  box.setAttribute("role", "list");
  box.setAttribute("aria-label", label);
  const tiles = new Map();
  let items = [];
  let columns = 1;
  let waiting = false;

  function paint() {
    waiting = false;
    const width = box.clientWidth;
    columns = Math.max(1, Math.floor((width + gap) / (minWidth + gap)));
    const tileWidth = (width - gap * (columns - 1)) / columns;
    inner.style.height = `${Math.ceil(items.length / columns) * (height + gap)}px`;
    const first = Math.max(0, Math.floor(box.scrollTop / (height + gap)) - SPARE_ROWS) * columns;
    const rows = Math.ceil(box.clientHeight / (height + gap)) + 2 * SPARE_ROWS + 1;
    const last = Math.min(items.length, first + rows * columns);
    for (const [index, tile] of tiles) {
      if (index >= first && index < last) continue;
      tile.remove();
      tiles.delete(index);
    }
    const added = document.createDocumentFragment();
    for (let index = first; index < last; index++) {
      const tile = tiles.get(index) ?? draw(items[index]);
      const left = (index % columns) * (tileWidth + gap);
      const top = Math.floor(index / columns) * (height + gap);
      tile.style.cssText = `position:absolute;width:${tileWidth}px;height:${height}px;transform:translate(${left}px,${top}px)`;
      if (tiles.has(index)) continue;
      tile.setAttribute("role", "listitem");
      tile.setAttribute("aria-setsize", items.length);
      tile.setAttribute("aria-posinset", index + 1);
      tiles.set(index, tile);
      added.append(tile);
    }
    inner.append(added);
  }

  const later = () => {
    if (!waiting) requestAnimationFrame(paint);
    waiting = true;
  };
  box.addEventListener("scroll", later, { passive: true });
  new ResizeObserver(later).observe(box);
  box.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -items.length, End: items.length };
    const current = [...tiles].find(([, tile]) => tile.contains(document.activeElement))?.[0];
    if (current === undefined || !(event.key in steps)) return;
    event.preventDefault();
    const target = Math.min(items.length - 1, Math.max(0, current + steps[event.key]));
    const top = Math.floor(target / columns) * (height + gap);
    if (top < box.scrollTop) box.scrollTop = top;
    if (top + height > box.scrollTop + box.clientHeight) box.scrollTop = top + height - box.clientHeight;
    paint();
    (tiles.get(target)?.querySelector("button") ?? tiles.get(target))?.focus();
  });

  return {
    element: box,
    show(shown) {
      items = shown;
      tiles.forEach((tile) => tile.remove());
      tiles.clear();
      paint();
    },
  };
}

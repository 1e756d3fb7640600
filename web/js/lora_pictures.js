// Preview pictures of the suggested LoRAs, in the report below their rows: native rows draw none.
import { address, make } from "./common.js";

const MAX_PICTURES = 12;

/** A strip of pictures: its element, and how to show an output in it. LoRAs without a preview have none. */
export function loraPictures() {
  const strip = make("div", "ig-lora-pictures");
  const show = ({ suggestions, nearest = [] }) => {
    if (!suggestions) return;
    const shown = [...suggestions, ...nearest.map((one) => ({ ...one, near: true }))].slice(0, MAX_PICTURES);
    strip.replaceChildren(...shown.map(picture));
  };
  return { element: strip, show };
}

function picture({ lora, title, name, near }) {
  const made = make("img", near ? "ig-near" : "");
  made.alt = made.title = title || name;
  made.loading = "lazy";
  made.addEventListener("error", () => made.remove());
  made.src = address(`/preview?optional=1&name=${encodeURIComponent(`lora:${lora}`)}`);
  return made;
}

// What was learned: stars, LoRAs, acts beside stars, each of which can be taken back; switches, export and import.
import { attempted, call, make } from "./common.js";
import { counted, sentence, t, word } from "./language.js";

const CLEAR = 0.1; // stars from which an effect is called one
const ACTS = {
  kept: ({ name }) => t("You left {name} in the choice", { name }),
  added: ({ name }) => t("You added {name}", { name }),
  removed: ({ name }) => t("You took {name} out of the suggestions", { name }),
  reweighted: ({ name, offered }) => t("You changed the strength of {name} from {offered}", { name, offered }),
  setting: ({ name, offered }) => t("You changed {name} from {offered}", { name: word(name), offered }),
  picked: ({ of }) => t("You picked one of {of} pictures", { of }),
  saved: ({ of }) => t("You saved one of {of} pictures", { of }),
  scouted: ({ of }) => t("You finished one of {of} scouted seeds", { of }),
  rerolled: () => t("You tried again with another seed"),
};

/** The view of what was learned. `tell(message)` shows a problem. Returns its element, and `load`. */
export function learnedView(tell) {
  const root = make("div", "ig-column ig-scroll");
  const attempt = (work) => attempted(work, tell);
  const change = (path, body) => attempt(async () => {
    await call(path, body);
    await load();
  });
  const load = async () => draw(await call("/learned"));
  const file = Object.assign(make("input", ""), { type: "file", accept: "application/json", hidden: true });
  file.addEventListener("change", attempt(async () => {
    await call("/learned/import", JSON.parse(await file.files[0].text()));
    file.value = "";
    await load();
  }));
  const forget = () => window.confirm(t("Forget all that was learned? Ratings stay stored, and count no longer.")) && change("/learned/reset", { all: true })();
  const draw = (found) => {
    const told = counted(found.ratings, t("1 rating"), t("{count} ratings"));
    root.replaceChildren(
      make("div", "", `${told}, ${counted(found.generations, t("1 run of pictures"), t("{count} runs of pictures"))}`),
      ...found.notes.map(({ evidence, message, arguments: values }) => make("div", "ig-error", sentence({ text: evidence, key: message, arguments: values }))),
      toggle(t("Heed my stars"), !found.paused, (on) => change("/learned", { paused: !on })()),
      toggle(t("Heed what I do beside stars"), found.heeds_acts, (on) => change("/learned", { heeds_acts: on })()),
      toggle(t("Store my prompts"), found.keep_prompts, (on) => change("/learned", { keep_prompts: on })()),
      ...part(t("Stars"), found.ratings ? found.by_stars.map((count, place) => bar("★".repeat(place + 1), count, Math.max(...found.by_stars))).reverse() : []),
      ...part(t("By month"), found.months.map(({ month, count, mean }) => bar(month, mean, 5, `${mean.toFixed(1)} (${count})`))),
      ...part(t("LoRAs, the most liked first"), found.loras.map((one) => lora(one, change("/learned/reset", { lora: one.lora })))),
      ...part(t("Beside stars, the newest first"), found.acts.map((one) => act(one, change("/learned/drop", { numbers: [one.number] })))),
      make("div", "ig-row", button(t("Export"), attempt(save)), button(t("Import"), () => file.click()), button(t("Forget all of it"), forget), file),
    );
  };
  return { element: root, load };
}

function part(title, rows) {
  return rows.length ? [make("h3", "ig-heading", title), ...rows] : [];
}

function lora({ name, effect, stars, installed, acts, past }, reset) {
  const moved = Math.abs(effect) < CLEAR ? t("about as it was") : t("{effect} stars", { effect: `${effect > 0 ? "+" : "−"}${Math.abs(effect).toFixed(1)}` });
  const why = [stars.join(", "), acts && counted(acts, t("1 act"), t("{count} acts")), past && counted(past, t("1 earlier picture"), t("{count} earlier pictures"))];
  return make(
    "div",
    "ig-row",
    make("span", "ig-label", name),
    make("span", "", moved),
    make("span", "ig-dim", [...why, !installed && t("not installed")].filter(Boolean).join("; ")),
    button(t("Take back"), reset, t("Take back what was learned of {name}", { name })),
  );
}

function act({ kind, subject, offered, propensity }, drop) {
  const name = subject.split(/[:/\\]/).pop().replace(/\.safetensors$/, "");
  const was = offered?.strength ?? (Array.isArray(offered) ? offered.join("x") : offered);
  const said = ACTS[kind]?.({ name, offered: was, of: Math.round(1 / (propensity || 1)) }) ?? kind;
  return make("div", "ig-row", make("span", "", said), button(t("Take back"), drop, `${t("Take back")}: ${said}`));
}

function bar(label, value, most, text = String(value)) {
  const filled = make("i");
  filled.style.width = `${(100 * value) / (most || 1)}%`;
  const line = make("div", "ig-bar ig-wide", filled);
  line.setAttribute("role", "img");
  line.setAttribute("aria-label", `${label}: ${text}`);
  return make("div", "ig-row", make("span", "", label), make("span", "ig-dim", text), line);
}

function toggle(text, checked, change) {
  const box = Object.assign(make("input", ""), { type: "checkbox", checked });
  box.addEventListener("change", () => change(box.checked));
  return make("label", "ig-row", box, text);
}

function button(text, action, label = "") {
  const made = make("button", "ig-button ig-small", text);
  if (label) made.setAttribute("aria-label", label);
  made.addEventListener("click", action);
  return made;
}

async function save() {
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(await call("/learned/export"))], { type: "application/json" }));
  link.download = "ratings.json";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

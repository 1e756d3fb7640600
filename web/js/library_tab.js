// The library in a sidebar tab: the registry's counts, the progress of a scan, files that could not be read, and the
// record of each LoRA.
import { app } from "../../../scripts/app.js";
import { address, call, element } from "./common.js";

const POLL_MS = 1000;
const TYPING_PAUSE_MS = 250;
const SMALL_PRINT = "font-size:12px;opacity:.85";
const ROW_STYLE =
  "display:block;width:100%;text-align:left;padding:4px 2px;cursor:pointer;background:none;border:0;color:inherit";
const HEADING = "margin-top:10px;font-weight:600";

function line(text, style = "") {
  return element("div", `padding:2px 0;overflow-wrap:anywhere;user-select:text;${style}`, { textContent: text });
}

function button(text, action) {
  const made = element("button", "margin:4px 6px 4px 0;padding:4px 10px;cursor:pointer", {
    textContent: text,
    className: "comfy-btn",
  });
  made.addEventListener("click", action);
  return made;
}

function statusRows(status) {
  const rows = Object.entries(status.counts).map(([kind, count]) => line(`${count} × ${kind}`));
  if (status.scanning) {
    const bar = element("progress", "width:100%");
    if (status.total) Object.assign(bar, { max: status.total, value: status.done });
    rows.push(line(`Reading the library: ${status.done} of ${status.total} files`), bar);
  }
  if (status.unhashed) rows.push(line(`${status.unhashed} files will be hashed while nothing is generated`, SMALL_PRINT));
  const problems = Object.entries(status.errors);
  if (problems.length) {
    rows.push(line(`${problems.length} files were left out`, HEADING));
    rows.push(...problems.map(([path, reason]) => line(`${path}: ${reason}`, SMALL_PRINT)));
  }
  return rows;
}

const SHOWN_PREVIEW = /^$|\.(png|jpe?g|webp)$/i;

/** Label → its text in a model's record; empty ones are left out. */
const DETAILS = {
  "Base model": (m) => m.base_model,
  Architecture: (m) => [...new Set([m.architecture, m.family])].filter((text) => text !== "unknown").join(", "),
  Kind: (m) => [m.lora_kind, m.lora_type, m.rank && `rank ${m.rank}`].filter((x) => x && x !== "unknown").join(", "),
  Strength: ({ strength, strength_range: range }) =>
    [strength, range && `from ${range[0]} to ${range[1]}`].filter((part) => part != null).join(", "),
  "Strength on the text encoders": (m) => m.strength_clip,
  "Never chosen": (m) => m.excluded && "excluded from choosing; a <lora:…> tag still applies it",
  "Corrected by you": (m) =>
    Object.entries(m.correction)
      .map(([field, value]) => `${field}: ${Array.isArray(value) ? value.join("; ") : value}`)
      .join("\n"),
  "Trigger words": (m) => m.trigger_sets.map(({ words, source }) => `${words.join(", ")} (${source})`).join("\n"),
  Tags: (m) => Object.keys(m.tags).slice(0, 30).join(", "),
  Creator: (m) => m.creator,
  Licence: (m) => m.license_notes,
  Description: (m) => m.description,
  "Example prompts": (m) =>
    m.example_prompts
      .slice(0, 5)
      .map(({ prompt, weight }) => (weight == null ? prompt : `${weight}: ${prompt}`))
      .join("\n"),
  "How it is known": (m) =>
    Object.entries(m.findings)
      .map(([field, found]) => [field.replace("_", " "), found, Math.round(100 * found.confidence)])
      .map(([field, { value, source }, percent]) => `${field} ${value}: ${source} (${percent} %)`)
      .join("\n"),
  "Preview, not shown here": (m) => (SHOWN_PREVIEW.test(m.preview_path ?? "") ? "" : m.preview_path),
  "The same file again": (m) => m.copies.join("\n"),
  "Earlier names": (m) => m.previous_ids.join("\n"),
  "SHA-256": (m) => m.sha256,
  File: (m) => m.local_path,
};

/** Buttons that store the user's word about a model. */
function correctionButtons(model, correct) {
  const set = (text, change) => button(text, () => correct({ name: model.model_id, ...change }));
  const buttons = [
    set(model.excluded ? "Choose it again" : "Never choose it", { exclude: !model.excluded }),
    set(model.favourite ? "No favourite" : "Favourite", { favourite: !model.favourite }),
  ];
  if (Object.keys(model.correction).length) buttons.push(set("Undo my corrections", { reset: true }));
  return buttons;
}

function detailRows(model, back, correct) {
  const picture = element("img", "max-width:100%;max-height:320px;display:block;margin:6px 0", { alt: "" });
  picture.addEventListener("error", () => picture.remove());
  picture.src = address(`/preview?name=${encodeURIComponent(model.model_id)}`);
  const heading = line(`${model.favourite ? "★ " : ""}${model.title || model.name}`, HEADING);
  const rows = [button("Back", back), heading, picture, ...correctionButtons(model, correct)];
  for (const [label, read] of Object.entries(DETAILS)) {
    const text = read(model);
    if (text) rows.push(line(label, "margin-top:6px;opacity:.7"), line(text, "white-space:pre-wrap"));
  }
  return rows;
}

function resultRow(model, open) {
  const row = element("button", ROW_STYLE);
  const about = [model.base_model, model.lora_kind].filter((text) => text && text !== "unknown").join(", ");
  row.append(line(model.title || model.name), line(about, SMALL_PRINT));
  row.addEventListener("click", () => open(model.model_id));
  return row;
}

function render(root) {
  root.style.cssText = "padding:12px;overflow:auto;height:100%";
  const message = line("", "color:var(--error-text, #f66)");
  const status = element("div");
  const results = element("div", "margin:6px 0");
  const details = element("div");
  const search = element("input", "width:100%;padding:4px", { placeholder: "Find a LoRA: name, trigger word …" });
  search.setAttribute("aria-label", "Find a LoRA");
  const overview = element("div");
  let polling;
  let typing;

  /** Runs `work` and shows its error, if any. */
  const attempt = async (work) => {
    try {
      await work();
      message.textContent = "";
    } catch (error) {
      message.textContent = error.message;
    }
  };
  const refresh = () =>
    attempt(async () => {
      clearTimeout(polling);
      if (!root.isConnected) return;
      const found = await call("/library");
      status.replaceChildren(...statusRows(found));
      if (found.scanning) polling = setTimeout(refresh, POLL_MS);
    });
  const act = (path) => async () => {
    await attempt(() => call(path, {}));
    if (!message.textContent) await refresh();
  };
  const show = (inside) => {
    overview.hidden = inside;
    details.hidden = !inside;
  };
  const showModel = (model) => {
    const correct = (change) => attempt(async () => showModel(await call("/model/correct", change)));
    details.replaceChildren(...detailRows(model, () => show(false), correct));
    show(true);
  };
  const open = (id) => attempt(async () => showModel(await call(`/model?name=${encodeURIComponent(id)}`)));
  const find = () =>
    attempt(async () => {
      const text = search.value.trim();
      const found = text ? await call(`/models?text=${encodeURIComponent(text)}`) : [];
      if (search.value.trim() !== text) return;
      const none = text && !found.length ? [line("No LoRA holds all of these words.", SMALL_PRINT)] : [];
      results.replaceChildren(...found.map((model) => resultRow(model, open)), ...none);
    });
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(find, TYPING_PAUSE_MS);
  });

  overview.append(
    button("Rescan", act("/library/rescan")),
    button("Cancel", act("/library/cancel")),
    search,
    results,
    status,
  );
  const title = line("Intelligent Generation library", "font-weight:600;margin-bottom:6px");
  root.replaceChildren(title, message, overview, details);
  show(false);
  setTimeout(refresh, 0);
}

app.registerExtension({
  name: "IntelligentGeneration.Library",
  async setup() {
    app.extensionManager.registerSidebarTab({
      id: "intelligent-generation-library",
      icon: "pi pi-star",
      title: "Library",
      tooltip: "Intelligent Generation: your LoRA library",
      type: "custom",
      render,
    });
  },
});

// The library in a sidebar tab: LoRAs as cards, named sets, pictures made, what was learned; the progress of a scan and what was left out.
import { app } from "../../../scripts/app.js";
import { exactlyAgain } from "./again.js";
import { call, make } from "./common.js";
import { historyView } from "./history_view.js";
import { counted, ready, t, translation, word } from "./language.js";
import { learnedView } from "./learned_view.js";
import { libraryCards } from "./library_cards.js";
import { loraDetails } from "./lora_details.js";
import { loraSets } from "./lora_sets.js";
import { addStyles } from "./styles.js";

const POLL_MS = 1000;

async function render(root) {
  addStyles();
  await ready;
  root.className = "ig-library";
  const message = make("div", "ig-error");
  message.setAttribute("role", "alert");
  const tell = (text) => (message.textContent = text);
  const details = make("div", "ig-view");
  const cards = libraryCards((id) => {
    const back = () => (show("loras"), details.replaceChildren());
    details.replaceChildren(loraDetails(id, { back, tell, changed: () => cards.load().catch((error) => tell(error.message)) }));
    show("details");
  });
  const views = { loras: cards, sets: loraSets(tell), history: historyView(exactlyAgain), learned: learnedView(tell), details: { element: details, load() {} } };
  const tabs = Object.entries({ loras: t("LoRAs"), sets: t("Sets"), history: t("History"), learned: t("Learned") }).map(([name, title]) => {
    const tab = make("button", "ig-button", title);
    tab.setAttribute("role", "tab");
    tab.dataset.view = name;
    tab.addEventListener("click", () => show(name));
    return tab;
  });
  const bar = make("div", "ig-row", ...tabs);
  bar.setAttribute("role", "tablist");

  function show(name) {
    tell("");
    for (const [key, view] of Object.entries(views)) view.element.hidden = key !== name;
    for (const tab of tabs) tab.setAttribute("aria-selected", tab.dataset.view === (name === "details" ? "loras" : name));
    if (name !== "details") Promise.resolve(views[name].load()).catch((error) => tell(error.message));
  }

  const status = scanStatus(root, tell, () => cards.load().catch((error) => tell(error.message)));
  root.replaceChildren(bar, message, status, ...Object.values(views).map((view) => view.element));
  show("loras");
}

/** Progress of a scan, its two buttons, and what was left out; polls only while a scan runs and the tab is open. */
function scanStatus(root, tell, changed) {
  const box = make("div", "ig-dim");
  let timer;
  let wasScanning = false;
  const act = (path) => async () => {
    try {
      await call(path, {});
      await refresh();
    } catch (error) {
      tell(error.message);
    }
  };
  const button = (text, action) => {
    const made = make("button", "ig-button ig-small", text);
    made.addEventListener("click", action);
    return made;
  };
  async function refresh() {
    clearTimeout(timer);
    if (!root.isConnected) return;
    const found = await call("/library").catch((error) => (tell(error.message), null));
    if (!found) return;
    if (wasScanning && !found.scanning) changed();
    wasScanning = found.scanning;
    const open = box.querySelector("details")?.open;
    box.replaceChildren(...(found.scanning ? progress(found, button, act) : [counts(found, button, act)]), ...problems(found.errors, open));
    if (found.scanning) timer = setTimeout(refresh, POLL_MS);
  }
  setTimeout(refresh, 0);
  return box;
}

function progress({ done, total }, button, act) {
  const bar = make("progress", "ig-wide");
  if (total) Object.assign(bar, { max: total, value: done });
  bar.setAttribute("aria-label", t("Reading the library"));
  return [make("div", "ig-row", total ? t("reading {done} of {total}", { done, total }) : t("Reading the library"), button(t("Cancel"), act("/library/cancel"))), bar];
}

function counts({ counts: found, unhashed }, button, act) {
  const kinds = Object.entries(found).filter(([kind, count]) => count && kind !== "lora").map(([kind, count]) => `${count} × ${word(kind)}`);
  const hashing = unhashed > 0 && make("span", "", counted(unhashed, t("1 file will be identified by its content while nothing is generated"), t("{count} files will be identified by their content while nothing is generated")));
  return make("div", "ig-row", kinds.length > 0 && make("span", "", kinds.join(", ")), button(t("Rescan"), act("/library/rescan")), hashing);
}

/** Files that were left out, folded: their number, then each file with the reason. */
function problems(errors, open = false) {
  const files = Object.entries(errors);
  if (!files.length) return [];
  const rows = files.map(([path, reason]) => make("li", "", make("span", "ig-label", path.split(/[\\/]/).pop()), `: ${translation(reason)}`));
  const heading = counted(files.length, t("1 file was left out: why"), t("{count} files were left out: why"));
  const folded = make("details", "", make("summary", "", heading), make("ul", "", ...rows));
  folded.open = open;
  return [folded];
}

app.registerExtension({
  name: "intelligentgeneration.Library",
  async setup() {
    await ready;
    app.extensionManager.registerSidebarTab({
      id: "intelligent-generation-library",
      icon: "pi pi-star",
      title: t("LoRA library"),
      tooltip: `Intelligent Generation: ${t("your LoRAs and pictures")}`,
      type: "custom",
      render: (root) => void render(root),
    });
  },
});

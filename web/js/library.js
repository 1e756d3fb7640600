// The library in a sidebar tab: what the registry holds, how far a scan is, what could not be read.
import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";

const PREFIX = "/intelligent_generation/library";
const POLL_MS = 1000;

async function call(path, method = "GET") {
  const options = method === "POST" ? { method, headers: { "Content-Type": "application/json" }, body: "{}" } : {};
  const response = await api.fetchApi(PREFIX + path, options);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

function line(text, style = "") {
  const element = document.createElement("div");
  element.textContent = text;
  element.style.cssText = `padding:2px 0;${style}`;
  return element;
}

function button(text, action) {
  const element = document.createElement("button");
  element.textContent = text;
  element.className = "comfy-btn";
  element.style.cssText = "margin:4px 6px 4px 0;padding:4px 10px;cursor:pointer";
  element.addEventListener("click", action);
  return element;
}

function show(box, status) {
  const counts = Object.entries(status.counts).map(([kind, count]) => line(`${count} × ${kind}`));
  const rows = [...counts];
  if (status.scanning) {
    const bar = document.createElement("progress");
    bar.style.width = "100%";
    if (status.total) Object.assign(bar, { max: status.total, value: status.done });
    rows.push(line(`Reading the library: ${status.done} of ${status.total} files`), bar);
  }
  const problems = Object.entries(status.errors);
  if (problems.length) {
    rows.push(line(`${problems.length} files were left out`, "margin-top:10px;font-weight:600"));
    rows.push(...problems.map(([path, reason]) => line(`${path}: ${reason}`, "font-size:12px;opacity:.85")));
  }
  box.replaceChildren(...rows);
}

function render(root) {
  root.style.cssText = "padding:12px;overflow:auto;height:100%";
  const box = document.createElement("div");
  const message = line("", "color:var(--error-text, #f66)");
  let timer;
  const refresh = async () => {
    clearTimeout(timer);
    if (!root.isConnected) return;
    try {
      const status = await call("");
      show(box, status);
      message.textContent = "";
      if (status.scanning) timer = setTimeout(refresh, POLL_MS);
    } catch (error) {
      message.textContent = error.message;
    }
  };
  const act = (path) => async () => {
    try {
      await call(path, "POST");
    } catch (error) {
      message.textContent = error.message;
    }
    await refresh();
  };
  root.replaceChildren(
    line("Intelligent Generation library", "font-weight:600;margin-bottom:6px"),
    button("Rescan", act("/rescan")),
    button("Cancel", act("/cancel")),
    box,
    message,
  );
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

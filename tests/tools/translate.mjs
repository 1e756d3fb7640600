// Translates lines of standard input into Spanish, by the page's own script, without a page.
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = new URL("../../", import.meta.url);
const read = (path) => readFileSync(new URL(path, root), "utf8");
const json = (path) => JSON.parse(read(path));
const locale = (name) => ({ ...json(`locales/${name}/main.json`), nodeDefs: json(`locales/${name}/nodeDefs.json`) });
const locales = Object.fromEntries(["en", "es"].map((name) => [name, locale(name)]));
globalThis.app = { ui: { settings: { getSettingValue: () => "es" } } };
globalThis.isOurs = () => true;
globalThis.LiteGraph = { registered_node_types: {} };
globalThis.api = { fetchApi: async () => ({ json: async () => locales }) };
const script = join(mkdtempSync(join(tmpdir(), "translate-")), "language.mjs");
writeFileSync(script, read("web/js/language.js").replace(/^import .*$/gm, ""));
const { ready, translation } = await import(script);
await ready;
for (const line of readFileSync(0, "utf8").split("\n")) console.log(translation(line));

// The language of the page. English text is the key of what the page itself says; a reason brings its message's key;
// sentences that come as text alone (errors, progress, notes of a run) are found by the English table of messages.
import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { isOurs } from "./graph_tools.js";

const OURS = "intelligentGeneration";
const ENGLISH = "en";
const PLACEHOLDER = /\{\{|\}\}|\{(\w+)(?::([^}]*))?\}/g;
const AMOUNT = /^[±×]?\d+(\.\d+)?( ?(s|min|h|GiB|MiB|%|px).*)?$/;
const APART = /(; | \| |, | and |\n)/;
const INPUT = /`(\w+)`/g;
const SETTING = /^([a-z]+) ([\d.]+)$/;
const OF_FILE = /^([^:]+): (.+)$/s;
const NUMBER = "-?[\\d.,e+]+"; // as Python writes one with a format
const MIN_LETTERS = 5; // of a message's own words, by which it is told from others
const NAMES = new Set(["lora", "loras", "name", "words", "prompt", "prefix", "file", "files", "tags", "text", "scheduler", "sampler", "device"]);

let table = {};
let nodes = {};
let messages = []; // of the English table, the longest first
const translations = new Map();
const inputLabels = new Map();

/** Reads the texts of the page's language; before that, and where one is missing, texts are English. */
export const ready = api
  .fetchApi("/i18n")
  .then((response) => response.json())
  .then((locales) => {
    const english = locales[ENGLISH]?.[OURS] ?? {};
    table = locales[language()]?.[OURS] ?? english;
    nodes = locales[language()]?.nodeDefs ?? locales[ENGLISH]?.nodeDefs ?? {};
    if (table !== english) messages = Object.entries(english.reasons ?? {}).map(readable).filter(Boolean).sort((one, other) => other.letters - one.letters);
  })
  .catch(() => {}); // a server without translations: English

export function language() {
  return app.ui?.settings?.getSettingValue?.("Comfy.Locale") ?? ENGLISH;
}

/** An English text in the page's language, its `{named}` placeholders filled. */
export function t(text, values) {
  const said = table.page?.[text] ?? text;
  return values ? fill(said, values) : said;
}

/** A title or a note of our templates in the page's language. */
export const templateText = (text) => table.templates?.[text] ?? text;

/** Marks a text that is translated where it is shown. */
export const later = (text) => text;

/** A count with its noun: `one` where it is 1, else `many`, whose {count} is filled. */
export function counted(count, one, many) {
  return count === 1 ? one : fill(many, { count });
}

/** The name of a setting, a kind or another word that the server sends. */
export function word(name) {
  return table.words?.[name] ?? String(name).replaceAll("_", " ");
}

/** A node's title, and the name and tooltip of one of its inputs. */
export function nodeText(type, input) {
  const { display_name: title = type, inputs = {} } = nodes[type] ?? {};
  return { display_name: title, name: input, tooltip: "", ...inputs[input] };
}

/** A value of a list as a node shows it: in English as the API names it. */
export function choiceText(value) {
  const { words = {}, page = {} } = table;
  return messages.length ? (words[value] ?? page[value] ?? words[String(value).toUpperCase()] ?? value) : value;
}

/** A sentence with the inputs that it names in `backticks` as their nodes label them. */
function withLabels(text) {
  return messages.length ? text.replace(INPUT, (whole, name) => (labels().has(name) ? `«${labels().get(name)}»` : whole)) : text;
}

/** Input of our nodes → its label. */
function labels() {
  if (!inputLabels.size) {
    const known = Object.entries(nodes).filter(([type]) => isOurs(LiteGraph.registered_node_types[type]?.nodeData));
    for (const [, { inputs = {} }] of known) for (const [input, { name }] of Object.entries(inputs)) inputLabels.set(input, name);
  }
  return inputLabels;
}

/** A reason as the server sends it, as a sentence. */
export function sentence({ text, key, arguments: values, otherwise }) {
  const known = key && table.reasons?.[key];
  const said = known && messages.length ? withLabels(fill(known, translated(values))) : translation(text);
  return otherwise ? t("{sentence} (otherwise {otherwise})", { sentence: said, otherwise: translation(otherwise) }) : said;
}

/** An English text of the server in the page's language: a message of its table, a word, or several of them. */
export function translation(text) {
  if (!messages.length || typeof text !== "string" || !text) return text;
  if (!translations.has(text)) translations.set(text, withLabels(sought(text)));
  return translations.get(text);
}

function sought(text) {
  const sentences = text.split("; ").map(whole);
  if (sentences.length > 1 && sentences.every(Boolean)) return sentences.join("; ");
  const found = whole(text);
  if (found) return found;
  const parts = text.split(APART);
  return parts.map((part, place) => (place % 2 ? (part === " and " ? t(" and ") : part) : whole(part) ?? part)).join("");
}

/** The translation of a text as one; null where there is none. */
function whole(text) {
  const found = table.page?.[text] ?? table.words?.[text] ?? byMessage(text);
  if (found || !text) return found;
  if (AMOUNT.test(text)) return amount(text);
  const [, setting, value] = SETTING.exec(text) ?? [];
  if (table.words?.[setting]) return `${table.words[setting]} ${amount(value)}`;
  const [, file, problem] = OF_FILE.exec(text) ?? [];
  const said = problem && whole(problem);
  return said ? `${file}: ${said}` : null;
}

function byMessage(text) {
  for (const { pattern, key } of messages) {
    const found = pattern.exec(text);
    if (found) return table.reasons?.[key] && fill(table.reasons[key], translated(found.groups ?? {}));
  }
  return null;
}

/** A message's values, words and sentences among them in the page's language; names stay. */
function translated(values) {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, NAMES.has(name) || AMOUNT.test(value) ? value : translation(value)]));
}

/** How an English message is found in a text: {key, pattern, letters}; null where it has too few words of its own. */
function readable([key, text]) {
  const letters = text.replace(PLACEHOLDER, "").replace(/\W/g, "").length;
  if (letters < MIN_LETTERS && /\{\w+\}/.test(text)) return null;
  const seen = new Set();
  let pattern = "";
  let end = 0;
  for (const found of text.matchAll(PLACEHOLDER)) {
    const name = found[1];
    pattern += escaped(text.slice(end, found.index));
    pattern += !name ? escaped(found[0][0]) : seen.has(name) ? `\\k<${name}>` : `(?<${name}>${found[2] ? NUMBER : ".+?"})`;
    seen.add(name);
    end = found.index + found[0].length;
  }
  return { key, letters, pattern: new RegExp(`^${pattern}${escaped(text.slice(end))}$`, "s") };
}

function escaped(text) {
  return text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
}

/** Fills placeholders as Python does: {name}, {name:.2f}, {name:.3g}, {name:g}, {name:,}; {{ and }} are braces. */
export function fill(text, values) {
  return text.replace(PLACEHOLDER, (whole, name, format) => {
    if (!name) return whole[0];
    const given = values[name];
    const value = format && typeof given === "string" ? Number(given.replaceAll(",", "")) : given; // found in a text
    return typeof value === "number" ? number(value, format) : AMOUNT.test(value) ? amount(value) : String(value ?? "");
  });
}

function number(value, format = "") {
  const fixed = /^\.(\d+)f$/.exec(format);
  if (fixed) return decimals(value, { minimumFractionDigits: Number(fixed[1]), maximumFractionDigits: Number(fixed[1]) });
  const general = /^(?:\.(\d+))?g$/.exec(format);
  if (general) return decimals(Number(value.toPrecision(Number(general[1]) || 6)));
  return format === "," ? value.toLocaleString(language()) : Number.isInteger(value) ? String(value) : decimals(value);
}

/** A number as the page's language writes it; no marks between thousands. */
export function decimals(value, options = {}) {
  return value.toLocaleString(language(), { useGrouping: false, maximumFractionDigits: 6, ...options });
}

/** An amount that came as text ("3.6 GiB"), its point as in the page's language. */
function amount(text) {
  const point = decimals(1.5).slice(1, 2);
  return text.replace(/(\d)\.(\d)/g, `$1${point}$2`);
}

/** A time as people say it: 0.4 s, 54 s, 2 min 5 s, 2 h 27 min. */
export function duration(seconds) {
  if (seconds < 0.95) return `${decimals(Number(seconds.toPrecision(2)))} s`;
  if (seconds < 9.95 && !Number.isInteger(seconds)) return `${number(seconds, ".1f")} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return whole % 60 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${whole / 60} min`;
  const minutes = Math.round(seconds / 60);
  return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
}

/** An amount of memory: 512 MiB, 3.6 GiB. */
export function memory(gib) {
  return gib >= 1 ? `${number(gib, ".1f")} GiB` : `${Math.round(gib * 1024)} MiB`;
}

// The language of the page: the English text itself is the key of a translation, and a reason brings its own key.
import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";

const OURS = "intelligentGeneration";
let table = {};

/** Reads the texts of the page's language; before that, and where one is missing, texts are English. */
export const ready = api
  .fetchApi("/i18n")
  .then((response) => response.json())
  .then((locales) => (table = locales[language()]?.[OURS] ?? {}))
  .catch(() => {}); // a server without translations: English

export function language() {
  return app.ui?.settings?.getSettingValue?.("Comfy.Locale") ?? "en";
}

/** An English text in the page's language, its `{named}` placeholders filled. */
export function t(text, values) {
  const said = table.page?.[text] ?? text;
  return values ? fill(said, values) : said;
}

/** A count with its noun: `one` where it is 1, else `many`, whose {count} is filled. */
export function counted(count, one, many) {
  return count === 1 ? one : fill(many, { count });
}

/** The name of a setting, a kind or another word that the server sends. */
export function word(name) {
  return table.words?.[name] ?? String(name).replaceAll("_", " ");
}

/** A reason as the server sends it, as a sentence. */
export function sentence({ text, key, arguments: values, otherwise }) {
  const translated = key && table.reasons?.[key];
  const said = translated ? fill(translated, values) : text;
  return otherwise ? t("{sentence} (otherwise {otherwise})", { sentence: said, otherwise }) : said;
}

/** Fills placeholders as Python does: {name}, {name:.2f}, {name:.3g}, {name:g}, {name:,}; {{ and }} are braces. */
export function fill(text, values) {
  return text.replace(/\{\{|\}\}|\{(\w+)(?::([^}]*))?\}/g, (whole, name, format) => {
    if (!name) return whole[0];
    const value = values[name];
    return typeof value === "number" ? number(value, format) : String(value ?? "");
  });
}

function number(value, format = "") {
  if (/^\.\d+f$/.test(format)) return value.toFixed(Number(format.slice(1, -1)));
  if (/^(\.\d+)?g$/.test(format)) return String(Number(value.toPrecision(Number(format.slice(1, -1)) || 6)));
  return format === "," ? value.toLocaleString(language()) : String(value);
}

/** A time as people say it: 0.4 s, 54 s, 2 min 5 s, 2 h 27 min. */
export function duration(seconds) {
  if (seconds < 0.95) return `${Number(seconds.toPrecision(2))} s`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return whole % 60 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${whole / 60} min`;
  const minutes = Math.round(seconds / 60);
  return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
}

/** An amount of memory: 512 MiB, 3.6 GiB. */
export function memory(gib) {
  return gib >= 1 ? `${gib.toFixed(1)} GiB` : `${Math.round(gib * 1024)} MiB`;
}

// What every view of the pack shares: its routes and its elements.
import { api } from "../../../scripts/api.js";
import { translation } from "./language.js";

const ROUTES = "/intelligent_generation";

/** The JSON answer of one of the pack's routes: a POST where there is a body, else a GET. Throws the server's message. */
export async function call(path, body) {
  const request = body && {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  const response = await api.fetchApi(ROUTES + path, request);
  const answer = await response.json().catch(() => ({ error: `${response.status} ${response.statusText}` }));
  if (!response.ok) throw new Error(translation(answer.error));
  return answer;
}

/** A handler that does `work`, and tells its problem, or "" where there was none. */
export function attempted(work, tell) {
  return async () => {
    try {
      await work();
      tell("");
    } catch (error) {
      tell(error.message);
    }
  };
}

/** Address of a route, for elements that load it themselves. */
export function address(path) {
  return api.apiURL(ROUTES + path);
}

/** A new element. Text of strangers (file names, prompts) belongs into `textContent`, never into markup. */
export function element(tag, style = "", properties = {}) {
  const made = Object.assign(document.createElement(tag), properties);
  made.style.cssText = style;
  return made;
}

/** A new element of a class, with children: text, elements; what is false or empty is left out. */
export function make(tag, className = "", ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children.filter((child) => child || child === 0));
  return made;
}

/** Puts text on the clipboard, also where the page is not served over HTTPS. */
export async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = element("textarea", "position:fixed;opacity:0", { value: text });
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

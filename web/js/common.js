// What every view of the pack shares: its routes and its elements.
import { api } from "../../../scripts/api.js";

const ROUTES = "/intelligent_generation";

/** The JSON answer of one of the pack's routes: a POST where there is a body, else a GET. Throws the server's message. */
export async function call(path, body) {
  const request = body && {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  const response = await api.fetchApi(ROUTES + path, request);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
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

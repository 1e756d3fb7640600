// The looks of our views, from the page's own colours, so that they follow its theme.
const CSS = `
.ig-card { contain: size; width: 100%; height: 100%; min-height: 90px; font: 13px/1.45 system-ui, sans-serif; color: var(--input-text, #ddd); overflow-y: auto; padding: 4px 8px;
  overflow-wrap: anywhere; user-select: text; background: var(--comfy-input-bg, #222); border-radius: 6px; box-sizing: border-box }
.ig-card details { border-top: 1px solid var(--border-color, #4e4e4e); padding: 4px 0 }
.ig-card details:first-child { border-top: 0 }
.ig-card summary { cursor: pointer; list-style: none; display: flex; flex-wrap: wrap; gap: 4px 6px; align-items: baseline; position: relative; padding-right: 14px }
.ig-card summary::after { content: "›"; opacity: .7; position: absolute; right: 0; top: 0 }
.ig-card details[open] > summary::after { content: "⌄" }
.ig-card summary:focus-visible, .ig-button:focus-visible, .ig-chip:focus-visible, .ig-tile:focus-visible, .ig-field:focus-visible
  { outline: 2px solid var(--p-primary-color, #4a9eff); outline-offset: 1px }
.ig-wide { flex: 1 0 100%; order: 2 }
.ig-plain { border-top: 1px solid var(--border-color, #4e4e4e); padding: 4px 0 }
.ig-text { white-space: pre-wrap }
.ig-label { font-weight: 600 }
.ig-line { padding: 4px 8px; overflow-y: auto; overflow-wrap: anywhere; font: 12px/1.4 system-ui, sans-serif; color: var(--input-text, #ddd); user-select: text }
.ig-variation { font-weight: 600; padding: 6px 0 2px; border-top: 2px solid var(--border-color, #4e4e4e) }
.ig-variation:first-child { border-top: 0; padding-top: 2px }
.ig-dim { opacity: .8; font-size: 12px }
.ig-card ul { margin: 4px 0 2px; padding-left: 18px }
.ig-chip { display: inline-flex; gap: 5px; align-items: baseline; padding: 1px 8px; border-radius: 10px; font: inherit; font-size: 12px;
  color: inherit; background: var(--comfy-menu-bg, #353535); border: 1px solid var(--border-color, #4e4e4e) }
button.ig-chip { cursor: pointer }
.ig-chip[aria-pressed="true"] { border-color: var(--p-primary-color, #4a9eff) }
.ig-greeting { position: fixed; z-index: 1000; bottom: 12px; left: 50%; transform: translateX(-50%); width: max-content; max-width: min(580px, 60vw); max-height: 30vh; overflow-y: auto;
  box-sizing: border-box; padding: 8px 40px 8px 12px; font: 13px/1.45 system-ui, sans-serif; color: var(--input-text, #ddd); background: var(--comfy-menu-bg, #353535);
  border: 1px solid var(--p-primary-color, #4a9eff); border-radius: 8px; overflow-wrap: anywhere }
.ig-greeting summary { cursor: pointer }
.ig-greeting ul { margin: 4px 0; padding-left: 18px }
.ig-greeting > .ig-button { position: absolute; top: 8px; right: 8px }
.ig-added { background: color-mix(in srgb, var(--p-green-500, #2e9e57) 30%, transparent); color: inherit; border-radius: 3px; padding: 0 1px }
.ig-bar { position: relative; height: 8px; border-radius: 4px; background: color-mix(in srgb, currentColor 15%, transparent); margin: 3px 0; overflow: hidden }
.ig-bar > i { position: absolute; inset: 0 auto 0 0; border-radius: 4px; background: var(--p-primary-color, #4a9eff) }
.ig-bar > i.ig-over { background: var(--p-red-400, #e5534b) }
.ig-bar.ig-foretold > i { opacity: .55 }
.ig-button { padding: 3px 9px; font: inherit; font-size: 12px; cursor: pointer; color: var(--input-text, #ddd);
  background: var(--comfy-menu-bg, #353535); border: 1px solid var(--border-color, #4e4e4e); border-radius: 6px }
.ig-button:hover { border-color: var(--input-text, #ddd) }
.ig-small { padding: 1px 6px }
.ig-library { padding: 10px; height: 100%; box-sizing: border-box; display: flex; flex-direction: column; gap: 6px; overflow: hidden;
  font: 13px/1.4 system-ui, sans-serif; color: var(--input-text, #ddd) }
.ig-library [hidden] { display: none }
.ig-library [aria-selected="true"] { border-color: var(--p-primary-color, #4a9eff); font-weight: 600 }
.ig-view, .ig-column { display: flex; flex-direction: column; gap: 6px; min-height: 0; flex: 1 1 auto }
.ig-library > .ig-column, .ig-view > .ig-column { overflow: hidden }
.ig-library .ig-scroll { overflow-y: auto }
.ig-library > .ig-dim > details { margin-top: 4px }
.ig-row { display: flex; flex-wrap: wrap; gap: 5px; align-items: center }
.ig-row > .ig-wide, .ig-row > .ig-field.ig-wide { order: 0 }
.ig-row > select { flex: 1 1 110px; min-width: 0 }
.ig-column > .ig-button { align-self: flex-start }
.ig-text { overflow-wrap: anywhere }
.ig-grid { flex: 1 1 0; min-height: 120px; overflow-y: auto; contain: strict }
.ig-grid > div > div { contain: layout style paint }
.ig-tile { display: flex; flex-direction: column; gap: 3px; width: 100%; height: 100%; padding: 4px; text-align: left; overflow: hidden;
  box-sizing: border-box; color: inherit; font: inherit; font-size: 12px; cursor: pointer; border-radius: 8px;
  background: var(--comfy-input-bg, #222); border: 1px solid var(--border-color, #4e4e4e) }
.ig-picture { flex: 1 1 auto; min-height: 0; display: grid; place-items: center; font-size: 28px; opacity: .9; border-radius: 5px; overflow: hidden;
  background: var(--comfy-menu-bg, #353535) }
.ig-picture img { width: 100%; height: 100%; object-fit: cover; min-height: 0 }
.ig-title { overflow: hidden; display: -webkit-box; -webkit-line-clamp: 2; -webkit-box-orient: vertical; overflow-wrap: anywhere; flex: none }
.ig-chips { display: flex; flex-wrap: wrap; gap: 3px; max-height: 42px; overflow: hidden; flex: none }
.ig-tile .ig-chip { display: inline-block; font-size: 11px; padding: 0 6px; max-width: 100%; overflow: hidden; text-overflow: ellipsis; white-space: nowrap }
.ig-fits { border-color: var(--p-green-500, #2e9e57) }
.ig-misfit { border-style: dashed }
.ig-heading { margin: 0; font-size: 15px; overflow-wrap: anywhere }
.ig-preview { max-width: 100%; max-height: 320px; align-self: flex-start; border-radius: 6px }
.ig-labelled { display: flex; flex-direction: column; gap: 2px; margin: 4px 0 }
.ig-error { color: var(--error-text, #ff6b6b) }
.ig-error:empty { display: none }
.ig-field { padding: 4px 8px; font: inherit; color: var(--input-text, #ddd); background: var(--comfy-input-bg, #222);
  border: 1px solid var(--border-color, #4e4e4e); border-radius: 6px; box-sizing: border-box }
.ig-rating, .ig-picks { color: var(--input-text, #ddd); font: 13px/1.4 system-ui, sans-serif }
.ig-rating { display: flex; flex-wrap: wrap; align-items: center; gap: 2px 6px; padding: 3px; border-radius: 6px; min-height: 30px }
.ig-rating:focus-visible, .ig-rating button:focus-visible { outline: 2px solid var(--p-primary-color, #4a9eff); outline-offset: 1px }
.ig-rating:hover { background: color-mix(in srgb, currentColor 8%, transparent) }
.ig-rating img { width: 64px; height: 64px; object-fit: cover; border-radius: 4px; background: #8883 }
.ig-rating button { all: unset; cursor: pointer; border-radius: 4px; line-height: 1 }
.ig-rating .ig-star { font-size: 22px; color: color-mix(in srgb, #e6b422 60%, var(--input-text, #ddd)); padding: 1px }
.ig-rating .ig-again { font-size: 12px; padding: 3px 7px; border: 1px solid currentColor; opacity: .85 }
.ig-ratings { display: grid; grid-template-columns: repeat(auto-fill, minmax(142px, 1fr)); gap: 4px; align-items: start }
.ig-ratings img { width: 100%; height: 68px; object-fit: contain }
.ig-ratings .ig-rating .ig-star { font-size: 20px }
.ig-picks { display: grid; grid-template-columns: repeat(auto-fill, minmax(110px, 1fr)); gap: 6px; overflow-y: auto; padding: 4px; align-content: start }
.ig-picks button { all: unset; cursor: pointer; border-radius: 6px; font-size: 12px; text-align: center; padding: 3px }
.ig-picks button:focus-visible { outline: 2px solid var(--p-primary-color, #4a9eff) }
.ig-picks button:hover { background: color-mix(in srgb, currentColor 12%, transparent) }
.ig-picks [aria-pressed="true"] { box-shadow: inset 0 0 0 2px #e6b422 }
.ig-seed { font-size: 11px; overflow-wrap: anywhere }
.ig-picks img { display: block; width: 100%; border-radius: 4px }
.ig-picks .ig-scout-again { grid-column: 1 / -1; border: 1px solid currentColor }
.ig-told { flex-basis: 100%; margin-top: 4px; font-size: 12px; overflow-wrap: anywhere }
.ig-told:empty { display: none }
.ig-tile .ig-rating { flex: 1 1 auto; min-height: 0; align-content: start; overflow: hidden; padding: 0 }
.ig-tile .ig-rating img { width: 100%; height: 96px; border-radius: 5px }
.ig-tile .ig-rating > span:first-of-type { overflow: hidden; display: -webkit-box; -webkit-line-clamp: 2; -webkit-box-orient: vertical; overflow-wrap: anywhere }
.ig-lora-pictures { display: flex; flex-wrap: wrap; gap: 4px; padding: 4px 6px }
.ig-lora-pictures:empty { display: none }
.ig-lora-pictures img { width: 56px; height: 56px; object-fit: cover; border-radius: 4px }
.ig-lora-pictures .ig-near { opacity: .45 }
`;

let sheet;
/** Adds our styles to the page, once. */
export function addStyles() {
  sheet ??= document.head.appendChild(Object.assign(document.createElement("style"), { textContent: CSS }));
}

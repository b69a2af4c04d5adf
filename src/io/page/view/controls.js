// The buttons at the bottom and the letters that stand for them, which are the terminal's.

import { byId, icon, make, memory } from "../dom.js";

/** A switch: pressed is on. */
export function toggle(button, name, on, label, key) {
  button.classList.add("switch");
  button.setAttribute("aria-pressed", String(on));
  button.setAttribute("aria-label", label);
  button.title = `${label} is ${on ? "on" : "off"}${key ? ` (${key})` : ""}`;
  if (button.dataset.on === String(on)) return;
  button.dataset.on = String(on);
  button.replaceChildren(icon(on ? name : `${name}-off`), make("i"));
}

/** Letters to acts; `talk(on)` is called while Space is held. */
export function keys(acts, talk) {
  const box = byId("help-single");
  box.checked = memory.get("keys") !== "off";
  box.onchange = () => memory.set("keys", box.checked ? "on" : "off");
  byId("help-keys").replaceChildren(
    ...acts.flatMap(({ key, what }) => [make("dt", {}, make("kbd", {}, key)), make("dd", {}, what)]),
  );
  const isFree = ({ target, ctrlKey, metaKey, altKey }) =>
    box.checked &&
    document.body.dataset.view === "call" &&
    !(ctrlKey || metaKey || altKey) &&
    !document.querySelector("dialog[open]") &&
    !target.closest("input, textarea, select");
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !document.querySelector("dialog[open]")) {
      return acts.find(({ key }) => key === "Esc").act();
    }
    if (!isFree(event)) return;
    if (event.key === " ") {
      // On a button it presses the button.
      if (event.target.closest("button, a")) return;
      event.preventDefault();
      if (!event.repeat) talk(true);
      return;
    }
    const act = acts.find(({ key }) => key === event.key);
    if (!act || event.repeat) return;
    event.preventDefault();
    act.act();
  });
  addEventListener("keyup", (event) => event.key === " " && talk(false));
  addEventListener("blur", () => talk(false));
}

// Elements: found, made, and filled with text. Nothing here reads markup, so no name and no message
// can become any.

export const byId = (id) => document.getElementById(id);

/** An element of this kind with these properties; `data-` and `aria-` ones are attributes. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

/** One of the icons that the page holds. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

/** Shows one of the page's views, and puts the focus where it begins. */
export function show(id) {
  for (const view of document.querySelectorAll("main > section")) view.hidden = view.id !== id;
  document.body.dataset.view = id;
  byId(id).querySelector("[data-first]")?.focus({ preventScroll: true });
}

/** Tells those who hear the page instead of seeing it. */
export function say(text) {
  byId("said").textContent = text;
}

/** Copies the text of an element and says so on the button; where the clipboard is not to be had
 * (it takes a secure context), the text is selected and copied in the old way. */
export async function copy(button, source) {
  const text = source.textContent;
  let copied = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    getSelection().selectAllChildren(source);
    copied = document.execCommand("copy");
  }
  const before = button.textContent;
  if (button.dataset.busy) return;
  button.dataset.busy = "1";
  button.textContent = copied ? "Copied" : "Press Ctrl-C";
  say(button.textContent);
  setTimeout(() => {
    button.textContent = before;
    delete button.dataset.busy;
  }, 1600);
}

/** What this browser remembers for the next time; it may be told to remember nothing. */
export const memory = {
  get(name) {
    try {
      return localStorage.getItem(`facetty.${name}`);
    } catch {
      return null;
    }
  },
  set(name, value) {
    try {
      localStorage.setItem(`facetty.${name}`, value);
    } catch {
      // Then the next time begins anew.
    }
  },
};

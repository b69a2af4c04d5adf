// What was written, and who came and went.

import { byId, make } from "../dom.js";

const MOST = 500;

export class Chat {
  #open = false;
  #changed;

  /** `send(text)` is called with what the person writes, `changed(open)` when it opens or closes. */
  constructor(send, changed) {
    this.#changed = changed;
    const text = byId("chat-text");
    const submit = (event) => {
      event.preventDefault();
      const said = text.value.trim();
      if (!said) return;
      this.add("you", said, "mine");
      send(said);
      text.value = "";
    };
    byId("chat-form").onsubmit = submit;
    text.onkeydown = (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
    };
    byId("chat-close").onclick = () => this.toggle(false);
  }

  get isOpen() {
    return this.#open;
  }

  toggle(open = !this.#open) {
    if (open === this.#open) return;
    this.#open = open;
    byId("chat").hidden = !open;
    byId("call").classList.toggle("chatting", open);
    const button = byId("bar-chat");
    button.setAttribute("aria-expanded", String(open));
    if (open) {
      button.classList.remove("news");
      byId("chat-text").focus();
      this.#scroll();
    } else {
      button.focus();
    }
    this.#changed(open);
  }

  /** Somebody wrote. */
  add(name, text, kind = "") {
    const time = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    this.#append(make("div", { className: kind }, make("b", {}, make("bdi", {}, name), make("time", {}, time)), make("span", { dir: "auto" }, ...linked(text))));
    if (!this.#open) byId("bar-chat").classList.add("news");
  }

  /** Something happened. */
  note(text) {
    this.#append(make("div", { className: "event" }, text));
  }

  #append(item) {
    const list = byId("chat-list");
    list.append(item);
    while (list.children.length > MOST) list.firstChild.remove();
    this.#scroll();
  }

  #scroll() {
    const list = byId("chat-list");
    list.scrollTop = list.scrollHeight;
  }
}

/** Text in which addresses are links. */
function linked(text) {
  return text.split(/(https?:\/\/[^\s<>"]+[^\s<>".,;:!?)\]'])/).map((part, n) =>
    n % 2 ? make("a", { href: part, target: "_blank", rel: "noopener noreferrer" }, part) : part,
  );
}

// The call: tiles, buttons, chat, and a word about what happens.

import { byId, copy, make, say, show } from "../dom.js";
import { Room } from "../room.js";
import { deviceTrouble, LOST, refusal, shareTrouble } from "../words.js";
import { Chat } from "./chat.js";
import { keys, toggle } from "./controls.js";
import { figures } from "./figures.js";
import { chooser } from "./join.js";
import { Tiles } from "./tiles.js";

const NOTICE_FOR = 5000;

/** Joins and stays; `ended({title, text, again})` is called once it is over. */
export class Call {
  #local;
  #room;
  #name;
  #tiles;
  #chat;
  #ended;
  #figures = null;
  #notice = 0;
  #lost = false;
  #clocks = [];
  #over = false;
  #lock = null;

  constructor({ url, room, name, local, ended }) {
    this.#local = local;
    this.#name = room;
    this.#ended = ended;
    byId("stage").replaceChildren();
    byId("chat-list").replaceChildren();
    byId("room-name").textContent = room;
    this.#tiles = new Tiles(byId("stage"), () => this.#show());
    const said = (text) => {
      this.#room.say(text);
      if (this.#room.people.size === 0) this.#chat.note("Nobody is here to read it.");
    };
    this.#chat = new Chat(said, () => this.#tiles.arrange());
    show("call");
    local.changed = () => {
      this.#room.sendAnew();
      this.#update();
    };
    local.failed = (error, what) => {
      const { title, text, list = [] } = deviceTrouble(error, what);
      const ways = list.map((way) => way.join(" ")).join("; ");
      this.#tell(`${title}. ${text} ${ways}`.trim(), true);
      this.#update();
    };
    this.#room = new Room({
      url,
      room,
      name,
      local,
      on: {
        joined: () => this.#joined(),
        came: ({ name }) => this.#happened(`${name} is here`),
        left: ({ name }, reason) => this.#happened(reason === "left" ? `${name} left` : `${name} is gone`),
        changed: () => this.#update(),
        chat: (person, text) => this.#heard(person, text),
        refused: (code, message) => this.#refused(code, message),
        lost: () => this.#lose(),
        viewport: (person) => this.#tiles.viewport(person),
      },
    });
    this.#wire();
    this.#clocks.push(setInterval(() => this.#levels(), 200), setInterval(() => this.#measure(), 1000));
    this.#awake();
    this.#update();
  }

  leave(end = { title: "You left", text: `The call in ${this.#name} goes on without you.`, again: true }) {
    if (this.#over) return;
    this.#over = true;
    this.#clocks.forEach(clearInterval);
    this.#room.leave();
    this.#local.close();
    this.#lock?.then((lock) => lock?.release());
    this.#chat.toggle(false);
    for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
    this.#ended(end);
  }

  #wire() {
    const dialog = (id) => () => byId(id).showModal();
    const acts = {
      mic: () => {
        this.#local.setMic(!this.#local.micOn);
        say(`Microphone ${this.#local.micOn ? "on" : "off"}`);
      },
      camera: () => {
        this.#local.setCamera(!this.#local.cameraOn);
        say(`Camera ${this.#local.cameraOn ? "on" : "off"}`);
      },
      screen: () => this.#share(),
      chat: () => this.#chat.toggle(),
      devices: () => {
        chooser(byId("call-devices"), this.#local);
        dialog("devices")();
      },
      help: dialog("help"),
      leave: () => this.leave(),
    };
    for (const [name, act] of Object.entries(acts)) byId(`bar-${name}`).onclick = act;
    const letters = [
      { key: "m", what: "microphone on, off", act: acts.mic },
      { key: "v", what: "camera on, off", act: acts.camera },
      { key: "Space", what: "talk while muted (hold it)", act() {} },
      { key: "c", what: "chat", act: acts.chat },
      { key: "p", what: "present: share a screen, stop", act: acts.screen },
      { key: "l", what: "the next person in front", act: () => this.#tiles.next() },
      { key: "x", what: "own picture mirrored, or not", act: () => this.#mirror() },
      { key: "d", what: "devices", act: acts.devices },
      { key: "s", what: "figures", act: () => this.#toggleFigures() },
      { key: "?", what: "this help", act: acts.help },
      { key: "Esc", what: "close what is open", act: () => this.#chat.toggle(false) },
      { key: "q", what: "leave", act: acts.leave },
    ];
    keys(letters, (on) => this.#local.talk(on));
  }

  #joined() {
    if (this.#lost) this.#tell("The server is back");
    this.#lost = false;
    this.#update();
  }

  #lose() {
    if (!this.#lost) this.#tell(LOST, true, true);
    this.#lost = true;
  }

  #refused(code, message) {
    const words = refusal(code, message);
    // Where calls stand they go on: the server may not take us back.
    if (this.#room.people.size > 0) return this.#tell(`${words.title}. The calls that stand go on.`, true, true);
    this.leave(words);
  }

  #update() {
    const { people } = this.#room;
    const { micOn, cameraOn, screen } = this.#local;
    this.#tiles.update(people.values(), this.#local);
    const alone = people.size === 0;
    byId("alone").hidden = !alone;
    byId("alone-title").textContent = this.#room.id ? `You are alone in ${this.#name}.` : `Joining ${this.#name} …`;
    toggle(byId("bar-mic"), "mic", micOn, "Microphone", "m");
    toggle(byId("bar-camera"), "camera", cameraOn, "Camera", "v");
    const share = byId("bar-screen");
    share.classList.toggle("on", Boolean(screen));
    share.setAttribute("aria-pressed", String(Boolean(screen)));
    share.setAttribute("aria-label", "Share a screen");
    share.title = screen ? "Stop sharing (p)" : "Share a screen (p)";
    byId("bar-chat").setAttribute("aria-label", "Chat");
    byId("bar-chat").title = "Chat (c)";
    document.title = alone ? `${this.#name} · facetty` : `${this.#name} (${people.size + 1}) · facetty`;
  }

  #show() {
    for (const person of this.#room.people.values()) this.#room.show(person);
  }

  async #share() {
    if (this.#local.screen) return this.#local.unshare();
    try {
      await this.#local.share();
    } catch (error) {
      const words = shareTrouble(error);
      if (words) this.#tell(words, true);
    }
  }

  #heard(person, text) {
    this.#chat.add(person.name, text);
    if (!this.#chat.isOpen) this.#tell(`${person.name}: ${text.slice(0, 120)}`);
  }

  #happened(text) {
    this.#chat.note(text);
    this.#tell(text);
    this.#update();
  }

  /** A word above the pictures, for a while or until another one comes. */
  #tell(text, bad = false, stays = false) {
    const notice = byId("notice");
    notice.replaceChildren(make("span", {}, text));
    notice.classList.toggle("bad", bad);
    notice.hidden = false;
    clearTimeout(this.#notice);
    if (!stays) this.#notice = setTimeout(() => (notice.hidden = true), bad ? 2 * NOTICE_FOR : NOTICE_FOR);
  }

  #mirror() {
    this.#tiles.mirrored = !this.#tiles.mirrored;
    say(this.#tiles.mirrored ? "Mirrored" : "As others see it");
    this.#update();
  }

  async #levels() {
    byId("bar-mic").style.setProperty("--level", this.#local.sent.mic ? this.#local.level().toFixed(2) : 0);
    const people = [...this.#room.people.values()];
    const level = async ({ id, peer, muted }) => [id, muted.mic ? 0 : await peer.level()];
    this.#tiles.talking(new Map(await Promise.all(people.map(level))));
  }

  #toggleFigures() {
    this.#figures = this.#figures ? null : new Map();
    if (this.#figures) this.#measure();
    else this.#tiles.figures(null);
  }

  async #measure() {
    const before = this.#figures;
    if (!before) return;
    const people = [...this.#room.people.values()];
    const read = await Promise.all(people.map(async (p) => [p.id, await figures(p, before.get(p.id))]));
    if (this.#figures !== before) return;
    this.#figures = new Map(read);
    this.#tiles.figures(new Map(read.map(([id, { text }]) => [id, text])));
  }

  /** The screen stays on while a call is shown on it; what is hidden loses that. */
  #awake() {
    const ask = () => {
      if (document.hidden || this.#over) return;
      this.#lock = navigator.wakeLock?.request("screen").catch(() => null); // Then it dims as always.
    };
    document.addEventListener("visibilitychange", ask);
    ask();
  }
}

/** The buttons that copy what stands before them. */
export function copies() {
  for (const button of document.querySelectorAll(".copy")) {
    button.onclick = () => copy(button, button.parentElement.querySelector("code"));
  }
}

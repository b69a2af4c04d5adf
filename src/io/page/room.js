// The room: who is there, a peer for each, and what they say. The newcomer calls everyone; where it
// is nobody's turn, the larger identity calls, as in the program's src/call.

import { Peer } from "./peer.js";
import { Signaling } from "./signaling.js";

const VERSION = 1;
/** A path is sought for so long before that is said. */
const CONNECT_WITHIN = 15_000;
/** Silence after which somebody whose socket is gone as well is taken to have left. */
const ABSENT_AFTER = 5000;
/** Without a path for so long, it is begun anew, over a fresh connection. */
const ANEW_AFTER = 30_000;
/** So many lines wait for a way at most. */
const UNSAID = 100;

export class Room {
  id = null;
  people = new Map();
  #local;
  #on;
  #signaling;
  #name;
  #iceServers = [];
  #clock = 0;

  /**
   * Of `on` these are called: `joined()`, `came(person)`, `left(person, reason)`, `changed(person)`,
   * `chat(person, text)`, `refused(code, message)`, `lost()`, `viewport(person)` (which is to answer
   * what can be shown of that person: `{camera, screen}`).
   */
  constructor({ url, room, name, local, on }) {
    this.#local = local;
    this.#on = on;
    this.#name = name;
    this.#signaling = new Signaling(url, { room, name }, {
      welcome: (message) => this.#welcome(message),
      joined: (member) => this.#joined(member),
      left: (id, reason) => this.#left(id, reason),
      signal: (from, body) => this.#signal(from, body),
      refused: (code, message) => this.#on.refused(code, message),
      lost: () => this.#on.lost(),
    });
    this.#signaling.open();
    this.#clock = setInterval(() => this.#look(), 1000);
  }

  /** What is sent changed. */
  sendAnew() {
    for (const person of this.people.values()) {
      person.peer.send();
      this.#tellMute(person);
    }
  }

  /** Once, however often something about the devices changed. */
  #tellMute(person) {
    const key = JSON.stringify(this.#local.mute);
    if (!person.open || person.shown.mute === key) return;
    person.shown.mute = key;
    person.peer.tell(this.#local.mute);
  }

  /** What can be shown of somebody changed. */
  show(person) {
    if (!person.open) return;
    const { camera, screen } = this.#on.viewport(person);
    for (const [of, viewport] of Object.entries(person.tracks.screen ? { camera, screen } : { camera })) {
      const key = JSON.stringify(viewport);
      if (person.shown[of] === key) continue;
      person.shown[of] = key;
      person.peer.tell({ type: "viewport", ...viewport, ...(of === "screen" && { of }) });
    }
  }

  say(text) {
    for (const person of this.people.values()) {
      if (person.unsaid.length < UNSAID) person.unsaid.push(text);
      this.#sayKept(person);
    }
  }

  /** What was written waits for a way. */
  #sayKept(person) {
    if (!person.open || !person.peer.connected) return;
    for (const text of person.unsaid.splice(0)) person.peer.tell({ type: "chat", text });
  }

  leave() {
    clearInterval(this.#clock);
    for (const { peer } of this.people.values()) peer.tell({ type: "bye" });
    this.#signaling.leave();
    for (const { peer } of this.people.values()) peer.close();
    this.people.clear();
  }

  #welcome({ id, peers, iceServers }) {
    this.id = id;
    this.#iceServers = iceServers ?? [];
    this.#on.joined();
    for (const person of this.people.values()) person.here = false;
    for (const member of peers) {
      const person = this.#meet(member);
      if (person.peer.connected) person.peer.offerAgain();
      else this.#call(person);
    }
    for (const person of this.people.values()) {
      if (!person.here && !person.peer.connected) this.#part(person, "lost");
    }
  }

  #joined(member) {
    const known = this.people.get(member.id);
    const person = this.#meet(member);
    // An offer that they did not answer went to a socket that they no longer have.
    if (known && !known.peer.described) this.#renew(person);
    else if (known) known.peer.offerAgain();
  }

  #left(id, reason) {
    const person = this.people.get(id);
    if (!person) return;
    person.here = false;
    if (reason === "left" || !person.peer.connected) this.#part(person, reason);
  }

  /** One after the other: an offer that follows an answer is no glare. */
  #signal(from, body) {
    const person = this.people.get(from);
    if (person) person.turn = person.turn.then(() => this.#take(person, body));
  }

  async #take(person, { description, candidate }) {
    if (!description) return person.peer.candidate(candidate);
    if (description.type === "offer") {
      const glare = person.peer.offering;
      const polite = this.id < person.id;
      // In glare over the first offers, the one that gives way begins with an empty connection.
      const gives = glare && polite && !person.peer.described;
      if (gives || (person.peer.isOther(description.sdp) && (polite || !glare))) this.#renew(person);
    }
    const { peer } = person;
    try {
      await peer.describe(description);
    } catch (error) {
      if (person.peer !== peer || !this.people.has(person.id)) return;
      person.trouble = `The call was not agreed upon: ${error.message}`;
      this.#on.changed(person);
    }
  }

  #meet({ id, name }) {
    let person = this.people.get(id);
    if (!person) {
      person = { id, name, here: true, unsaid: [], muted: { mic: false, camera: false, screen: false } };
      this.people.set(id, person);
      this.#renew(person);
      this.#on.came(person);
    }
    person.here = true;
    if (person.name !== name) {
      person.name = name;
      this.#on.changed(person);
    }
    return person;
  }

  #call(person) {
    if (person.peer.described || person.peer.offering) this.#renew(person);
    person.peer.call();
  }

  /** Gives a person a fresh peer. */
  #renew(person) {
    person.peer?.close();
    person.since = performance.now();
    person.state = "connecting";
    person.trouble = null;
    // What is awaited of a connection that was closed may never come.
    person.turn = Promise.resolve();
    person.open = false;
    person.shown = {};
    person.tracks = {};
    const peer = new Peer({
      polite: this.id < person.id,
      iceServers: this.#iceServers,
      local: this.#local,
      send: (body) => person.peer === peer && this.#signaling.send(person.id, body),
      on: {
        open: () => {
          // The viewport first: it is what the other side waits for.
          person.open = true;
          this.show(person);
          peer.tell({ type: "hello", name: this.#name, version: VERSION });
          this.#tellMute(person);
          this.#sayKept(person);
        },
        message: (message) => this.#message(person, message),
        track: (what, track) => {
          person.tracks = { ...person.tracks, [what]: track };
          this.#on.changed(person);
        },
        state: (state) => person.peer === peer && this.#moved(person, state),
      },
    });
    person.peer = peer;
  }

  #message(person, message) {
    switch (message.type) {
      case "hello":
        person.name = harmless(message.name).slice(0, 64) || person.name;
        break;
      case "mute":
        person.muted = { mic: message.mic === true, camera: message.camera === true, screen: message.screen === true };
        break;
      case "chat":
        if (harmless(message.text)) this.#on.chat(person, harmless(message.text).slice(0, 8000));
        return;
      case "bye":
        return this.#part(person, "left");
      default:
        return;
    }
    this.#on.changed(person);
  }

  #moved(person, state) {
    if (state === "closed") return;
    if (state === "connected") {
      person.trouble = null;
      this.#sayKept(person);
    }
    person.state = state;
    person.since = performance.now();
    this.#on.changed(person);
  }

  /** Looks at everyone's clock, and at sizes that changed under the encoder (a phone was turned). */
  #look() {
    const now = performance.now();
    for (const person of [...this.people.values()]) {
      person.peer.shape();
      if (person.peer.connected) continue;
      const waited = now - person.since;
      if (!person.here && waited > ABSENT_AFTER) {
        this.#part(person, "lost");
      } else if (waited > ANEW_AFTER) {
        if (this.id > person.id) this.#call(person);
        else this.#renew(person);
        this.#on.changed(person);
      } else if (waited > CONNECT_WITHIN && !person.trouble) {
        person.trouble = "no-path";
        this.#on.changed(person);
      }
    }
  }

  #part(person, reason) {
    if (!this.people.delete(person.id)) return;
    person.peer.close();
    this.#on.left(person, reason);
  }
}

/** Text without what would turn the text around it (bidirectional overrides) or is no letter at all. */
function harmless(text) {
  return typeof text === "string" ? text.replace(/(?!\n)\p{Cc}|[\u202a-\u202e\u2066-\u2069]/gu, "") : "";
}

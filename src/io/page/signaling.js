// The socket to the meeting point. It is kept, and made anew when it is lost: calls go on meanwhile,
// and the key makes whoever comes back the same person. The protocol is described in the program's
// src/signal/message.rs.

const VERSION = 1;
const FIRST_WAIT = 500;
const LONGEST_WAIT = 15_000;
/** A server that does not answer within this time is not there. */
const ANSWER_WITHIN = 8000;

/** After these the server closes, and trying again would not help. */
const FINAL = new Set(["version", "bad-room", "room-full", "server-full", "replaced", "too-many", "not-joined"]);

export class Signaling {
  #url;
  #who;
  #on;
  #key = secret();
  #socket = null;
  #wait = FIRST_WAIT;
  #timer = 0;
  #joined = false;
  #ended = false;

  /**
   * `who` has a room and a name. Of `on` these are called: `welcome(message)`, `joined(member)`,
   * `left(id, reason)`, `signal(from, body)`, `refused(code, message)` (the end), `lost()`.
   */
  constructor(url, who, on) {
    this.#url = url;
    this.#who = who;
    this.#on = on;
    addEventListener("online", () => this.#hurry());
  }

  /** Joins, and stays. */
  open() {
    if (this.#ended) return;
    clearTimeout(this.#timer);
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    const patience = setTimeout(() => socket.close(), ANSWER_WITHIN);
    socket.onopen = () => {
      const { room, name } = this.#who;
      socket.send(JSON.stringify({ type: "join", version: VERSION, room, name, key: this.#key }));
    };
    socket.onmessage = ({ data }) => {
      const message = parse(data);
      if (message?.type === "welcome") clearTimeout(patience);
      if (message && socket === this.#socket) this.#handle(message);
    };
    socket.onclose = () => {
      clearTimeout(patience);
      if (socket === this.#socket) this.#lost();
    };
  }

  /** Sends a description or a candidate to somebody; false where it cannot be sent now. */
  send(to, body) {
    if (!this.#joined || this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify({ type: "signal", to, ...body }));
    return true;
  }

  /** Ends it; the others are told. */
  leave() {
    this.#ended = true;
    clearTimeout(this.#timer);
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send('{"type":"leave"}');
    this.#socket?.close();
  }

  #handle(message) {
    switch (message.type) {
      case "welcome":
        this.#joined = true;
        this.#wait = FIRST_WAIT;
        return this.#on.welcome(message);
      case "peer-joined":
        return this.#on.joined(message);
      case "peer-left":
        return this.#on.left(message.id, message.reason);
      case "signal":
        return this.#on.signal(message.from, message);
      case "error":
        if (!FINAL.has(message.code)) return;
        this.#ended = true;
        return this.#on.refused(message.code, message.message);
    }
  }

  #lost() {
    this.#joined = false;
    if (this.#ended) return;
    this.#on.lost();
    // Many come back at the same time: not all in the same moment.
    this.#timer = setTimeout(() => this.open(), this.#wait * (0.75 + Math.random() / 2));
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
  }

  #hurry() {
    if (this.#joined || this.#ended || this.#socket?.readyState !== WebSocket.CLOSED) return;
    this.#wait = FIRST_WAIT;
    this.open();
  }
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** 24 random bytes, base64url. */
function secret() {
  const bytes = crypto.getRandomValues(new Uint8Array(24));
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_");
}

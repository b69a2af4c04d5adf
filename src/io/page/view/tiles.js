// The people as tiles that cover the stage, the own picture in a corner; and how much of each can be
// shown, which is what the others are asked to send.

import { icon, make, memory } from "../dom.js";
import { NO_PATH } from "../words.js";

const GAP = 6;
/** Cameras see 4:3 to 16:9; a tile's shape is judged by what lies between. */
const SHAPE = 1.5;
/** More than this of a picture is never asked for: what a tile can show of a camera, and of a screen. */
const MOST = { camera: [1280, 720], several: [640, 480], screen: [1920, 1200] };
/** Sizes are asked for in steps, so that a window that is drawn wider does not ask at each pixel. */
const STEP = 16;
const GROUNDS = ["#26465a", "#5c374c", "#344e41", "#58422a", "#383e66", "#603832", "#28545c", "#4a3a60"];
/** A picture is drawn as squares where each of its pixels would cover so many. */
const COARSE = 10;

export class Tiles {
  #stage;
  #tiles = new Map();
  #own;
  #changed;
  #timer = 0;
  front = null;
  mirrored = true;

  /** `changed()` is called when tiles have another size. */
  constructor(stage, changed) {
    this.#stage = stage;
    this.#changed = changed;
    this.#own = new Tile("you", "you");
    this.#own.root.classList.add("own");
    this.#own.video.muted = true;
    stage.append(this.#own.root);
    new ResizeObserver(() => this.arrange()).observe(stage);
    document.addEventListener("visibilitychange", () => this.arrange());
  }

  /** Shows the people as they are now. */
  update(people, local) {
    const wanted = new Map();
    for (const person of people) {
      wanted.set(person.id, [person, "camera"]);
      if (person.muted.screen && person.tracks.screen) wanted.set(`${person.id} screen`, [person, "screen"]);
    }
    for (const [key, tile] of this.#tiles) {
      if (wanted.has(key)) continue;
      tile.root.remove();
      this.#tiles.delete(key);
      if (this.front === key) this.front = null;
    }
    for (const [key, [person, what]] of wanted) {
      let tile = this.#tiles.get(key);
      if (!tile) {
        tile = new Tile(person.id, what);
        tile.root.ondblclick = () => this.bringToFront(key);
        tile.video.onresize = () => tile.fit();
        this.#tiles.set(key, tile);
        this.#stage.append(tile.root);
        if (what === "screen") this.front = key;
      }
      tile.show(person, what);
    }
    this.#own.showOwn(local, this.mirrored);
    this.arrange();
  }

  /** One large and the others in a strip; the same one again, or nobody: all alike. */
  bringToFront(key) {
    this.front = this.front === key ? null : key;
    this.arrange();
  }

  /** The next one in front, and after the last all alike. */
  next() {
    const keys = [...this.#tiles.keys()];
    this.front = keys[keys.indexOf(this.front) + 1] ?? null;
    this.arrange();
  }

  /** What can be shown of a person. */
  viewport(person) {
    const of = (key, most, fps) => {
      const tile = this.#tiles.get(key);
      if (document.hidden || !tile) return { width: 0, height: 0, fps: 0 };
      return { ...tile.pixels(most), fps };
    };
    const most = this.#tiles.size > 4 && this.front !== person.id ? MOST.several : MOST.camera;
    return { camera: of(person.id, most, 30), screen: of(`${person.id} screen`, MOST.screen, 15) };
  }

  /** Lights the tags of those who talk. */
  talking(levels) {
    for (const tile of this.#tiles.values()) {
      tile.root.classList.toggle("talking", tile.what === "camera" && levels.get(tile.id) > 0.02);
    }
  }

  /** Writes figures on the tiles, or takes them away. */
  figures(texts) {
    for (const tile of this.#tiles.values()) tile.figures(tile.what === "camera" ? texts?.get(tile.id) : null);
  }

  arrange() {
    const { clientWidth: width, clientHeight: height } = this.#stage;
    if (!width || !height) return;
    const tiles = [...this.#tiles.entries()];
    const front = this.#tiles.get(this.front);
    if (front && tiles.length > 1) {
      const others = tiles.filter(([key]) => key !== this.front);
      const wide = width >= height;
      const strip = wide ? Math.min(width / 4, 260) : Math.min(height / 4, 160);
      const room = wide ? [width - strip - GAP, height] : [width, height - strip - GAP];
      front.place(0, 0, ...room);
      others.forEach(([, tile], n) => {
        const length = Math.min((wide ? height : width) / others.length, wide ? strip / SHAPE : strip * SHAPE);
        if (wide) tile.place(room[0] + GAP, n * length, strip, length - GAP);
        else tile.place(n * length, room[1] + GAP, length - GAP, strip);
      });
    } else {
      grid(width, height, tiles.length).forEach((box, n) => tiles[n][1].place(...box));
    }
    this.#placeOwn(width, height, tiles.length);
    // What is asked for follows when it has come to rest.
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#changed, 150);
  }

  #placeOwn(width, height, others) {
    const { root, video } = this.#own;
    root.classList.toggle("corner", others > 0);
    root.classList.toggle("behind", others === 0);
    if (others === 0) return this.#own.place(0, 0, width, height);
    const shape = video.videoWidth ? video.videoWidth / video.videoHeight : 4 / 3;
    const w = Math.min(width * (width < 600 ? 0.26 : 0.18), 240, (height / 4) * shape);
    this.#own.place(width - w - 10, height - w / shape - 10, w, w / shape);
  }
}

class Tile {
  root = make("div", { className: "tile", role: "group" });
  video = make("video", { autoplay: true, playsInline: true, disablePictureInPicture: true });
  #initials = make("div", { className: "initials", "aria-hidden": "true" });
  #name = make("span");
  #tag = make("div", { className: "tag" });
  #state = make("p", { className: "state", hidden: true });
  #figures = null;
  /** Apart from the picture: a video without a frame keeps its sound waiting. */
  audio = make("audio", { autoplay: true });
  #box = [0, 0];

  constructor(id, what) {
    this.id = id;
    this.what = what;
    this.#tag.append(this.#name);
    this.root.append(this.video, this.audio, this.#initials, this.#state, this.#tag);
    this.root.style.setProperty("--person", GROUNDS[hash(id) % GROUNDS.length]);
  }

  show(person, what) {
    const { tracks, muted, name } = person;
    play(this.video, tracks[what]);
    if (what === "camera") {
      play(this.audio, tracks.voice);
      // A speaker that was chosen once and is gone leaves the usual one.
      const speaker = memory.get("audiooutput");
      if (speaker && this.audio.sinkId !== speaker) this.audio.setSinkId?.(speaker).catch(() => {});
    }
    const label = what === "screen" ? `${name}: screen` : name;
    const silent = what === "camera" && muted.mic;
    this.root.classList.toggle("seen", what === "screen" || (person.state === "connected" && !muted.camera));
    this.root.setAttribute("aria-label", `${label}${silent ? ", muted" : ""}${what === "camera" && muted.camera ? ", camera off" : ""}`);
    this.#label(label, silent);
    const words = { connecting: "connecting …", new: "connecting …", disconnected: "the line is weak …", failed: "another path is sought …" };
    const trouble = person.trouble === "no-path" ? NO_PATH : person.trouble;
    this.#state.textContent = what === "camera" ? (trouble ?? words[person.state] ?? "") : "";
    this.#state.hidden = !this.#state.textContent;
    this.fit();
  }

  showOwn(local, mirrored) {
    play(this.video, local.camera);
    this.video.classList.toggle("mirror", mirrored);
    this.root.classList.toggle("seen", Boolean(local.camera));
    this.root.hidden = !local.camera;
    this.root.setAttribute("aria-label", "your own picture");
    this.#label("you", false);
    this.root.classList.add("cover");
  }

  place(x, y, width, height) {
    const { style } = this.root;
    style.left = `${x}px`;
    style.top = `${y}px`;
    style.width = `${width}px`;
    style.height = `${height}px`;
    this.#box = [width, height];
    this.fit();
  }

  /** Fills the tile where little of the picture is lost by it; shows coarse pictures as they are. */
  fit() {
    const { videoWidth, videoHeight } = this.video;
    const [width, height] = this.#box;
    if (!videoWidth || !width || this.what === "you") return;
    const part = (width / height) * (videoHeight / videoWidth);
    this.root.classList.toggle("cover", this.what === "camera" && Math.min(part, 1 / part) > 0.8);
    this.root.classList.toggle("cells", width / videoWidth >= COARSE);
  }

  /** The pixels that can be seen here, at most `most`. */
  pixels(most) {
    const [width, height] = this.#box.map((length) => length * devicePixelRatio);
    const scale = Math.min(1, most[0] / width, most[1] / height);
    const stepped = (length) => Math.max(STEP, Math.round((length * scale) / STEP) * STEP);
    return { width: stepped(width), height: stepped(height) };
  }

  figures(text) {
    if (text) {
      this.#figures ??= this.root.appendChild(make("pre", { className: "figures" }));
      this.#figures.textContent = text;
    } else {
      this.#figures?.remove();
      this.#figures = null;
    }
  }

  #label(name, silent) {
    this.#name.textContent = name;
    this.#initials.textContent = initials(name);
    if (silent !== (this.#tag.children.length > 1)) {
      this.#tag.replaceChildren(...(silent ? [icon("mic-off")] : []), this.#name);
    }
  }
}

/** Plays a track, or nothing. */
function play(element, track) {
  if (element.srcObject?.getTracks()[0] === track) return;
  element.srcObject = track ? new MediaStream([track]) : null;
}

/** Boxes for `count` tiles: the grid in which a picture is largest. */
function grid(width, height, count) {
  let best = { size: 0, columns: 1 };
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const size = Math.min(width / columns, (height / rows) * SHAPE);
    if (size > best.size) best = { size, columns };
  }
  const rows = Math.ceil(count / best.columns);
  return Array.from({ length: count }, (_, n) => {
    const row = Math.floor(n / best.columns);
    const inRow = row === rows - 1 ? count - row * best.columns : best.columns;
    const [w, h] = [(width - GAP * (inRow - 1)) / inRow, (height - GAP * (rows - 1)) / rows];
    return [(n % best.columns) * (w + GAP), row * (h + GAP), w, h];
  });
}

/** The first letters of the first and the last word. */
function initials(name) {
  const words = name.split(/[\s._-]+/).filter(Boolean);
  const first = (word) => [...(word ?? "")][0]?.toUpperCase() ?? "";
  return first(words[0]) + (words.length > 1 ? first(words.at(-1)) : "");
}

function hash(text) {
  return [...text].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) >>> 0, 7);
}

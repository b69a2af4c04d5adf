// What is sent of a picture: as much as the other side said that it can show, and no more.

/** What is sent until somebody said what they can show. */
export const UNASKED = { width: 320, height: 180, fps: 30 };

/** Below this no browser's encoder goes. */
const LEAST = 30_000;

/** The most pixels of a picture as small as a terminal's. */
const SMALL = 320 * 180;

/** A voice's bits: beside such a picture, and beside a larger one. */
const VOICE = { small: 20_000, large: 40_000 };

/** Bits a second that a picture is worth: a part of what the program's src/call/rate/mod.rs takes for it. Cells
 * show no more of a camera, and two browsers see each other well by half; letters need all of it. */
export function needed(width, height, fps, hasLetters) {
  const part = hasLetters ? 1 : width * height > SMALL ? 0.5 : 0.4;
  return Math.max(LEAST, Math.round(part * 56 * (width * height) ** 0.78 * (fps / 30) ** 0.7));
}

/** An encoding of a source of this size (nothing known: none) for such a viewport. */
export function encoding(source, { width, height, fps }, hasLetters) {
  if (!(width > 0 && height > 0 && fps > 0)) return { active: false };
  const from = source?.width ? source : { width: 1280, height: 720 };
  const down = Math.max(1, from.width / width, from.height / height);
  return {
    active: true,
    scaleResolutionDownBy: down,
    maxFramerate: Math.min(60, fps),
    maxBitrate: needed(from.width / down, from.height / down, Math.min(60, fps), hasLetters),
  };
}

/** Keeps what a sender sends to what was asked for; changes that come while one is under way are made
 * after it, the newest only. */
export class Shaper {
  #sender;
  #wanted = null;
  #busy = false;
  #last = "";

  constructor(sender) {
    this.#sender = sender;
  }

  /** A picture, for such a viewport; of a screen it has letters. */
  show(viewport, hasLetters = false) {
    return this.#set(encoding(this.#sender.track?.getSettings(), viewport, hasLetters));
  }

  /** A voice, beside pictures for such a viewport: once, with Opus's own error correction, although the
   * other side may name the codec first by which each packet goes twice. */
  speak({ width, height }) {
    const is = ({ mimeType }) => mimeType.toLowerCase() === "audio/opus";
    const codec = this.#sender.getParameters().codecs?.find(is);
    const maxBitrate = width * height > SMALL ? VOICE.large : VOICE.small;
    return this.#set(codec ? { maxBitrate, codec } : { maxBitrate });
  }

  async #set(wanted) {
    this.#wanted = wanted;
    if (this.#busy) return;
    this.#busy = true;
    while (this.#wanted) {
      const wanted = this.#wanted;
      this.#wanted = null;
      const key = JSON.stringify(wanted);
      if (key === this.#last) continue;
      const parameters = this.#sender.getParameters();
      if (!parameters.encodings?.length) break; // Nothing is negotiated yet; it is asked again then.
      Object.assign(parameters.encodings[0], wanted);
      try {
        await this.#sender.setParameters(parameters);
        this.#last = key;
      } catch {
        break; // The connection ended or was negotiated meanwhile: what follows shapes anew.
      }
    }
    this.#busy = false;
  }
}

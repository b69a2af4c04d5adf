// What is sent of a picture: as much as the other side said that it can show, and no more.

/** What is sent until somebody said what they can show. */
export const UNASKED = { width: 320, height: 180, fps: 30 };

/** Bits a second that a picture is worth, as the program's src/call/rate.rs has it. */
export function needed(width, height, fps) {
  return Math.max(16_000, Math.round(56 * (width * height) ** 0.78 * (fps / 30) ** 0.7));
}

/** An encoding of a source of this size (nothing known: none) for such a viewport. */
export function encoding(source, { width, height, fps }) {
  if (!(width > 0 && height > 0 && fps > 0)) return { active: false };
  const from = source?.width ? source : { width: 1280, height: 720 };
  const down = Math.max(1, from.width / width, from.height / height);
  return {
    active: true,
    scaleResolutionDownBy: down,
    maxFramerate: Math.min(60, fps),
    maxBitrate: needed(from.width / down, from.height / down, Math.min(60, fps)),
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

  async shape(viewport) {
    this.#wanted = encoding(this.#sender.track?.getSettings(), viewport);
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

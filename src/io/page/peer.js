// One other person's connection: perfect negotiation (WebRTC specification, 10.7), what is sent, what
// comes, and the data channel `facetty` (the program's src/call/control.rs).

import { Shaper, UNASKED } from "./rate.js";

const LABEL = "facetty";

/** Codecs in the order in which they are wanted: VP9 where it is known to go well with the terminal's, and
 * VP8, which all browsers have. */
const PICTURES = /Chrom(e|ium)\//.test(navigator.userAgent) ? ["vp9", "vp8", "rtx"] : ["vp8", "rtx"];
const VOICES = ["opus", "red"];

/** Another path is sought at once by the side that calls, and by the other one so much later. */
const SEEK_LATER = 1500;
const SEEK_AGAIN = 4000;

export class Peer {
  /** What they asked to be sent of the camera and of the screen. */
  asked = { camera: UNASKED, screen: UNASKED };
  /** Their tracks, by what they are: `voice`, `camera`, `screen`. */
  tracks = {};
  #pc;
  #polite;
  #local;
  #send;
  #on;
  #channel = null;
  #early = [];
  #offering = false;
  #session = null;
  #seeking = 0;
  #closed = false;
  /** Transceivers: `voice` and `camera` in both directions, the own `screen`. */
  #lines = {};
  #shapers = {};
  /** The media lines that they said are a screen. */
  #screens = new Set();

  /**
   * `send(body)` sends by the meeting point. Of `on` these are called: `open()`, `message(object)`,
   * `track(what, track)`, `state(word)`.
   */
  constructor({ polite, iceServers, local, send, on }) {
    this.#polite = polite;
    this.#local = local;
    this.#send = send;
    this.#on = on;
    const pc = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" });
    this.#pc = pc;
    pc.onicecandidate = ({ candidate }) => send({ candidate: candidate?.toJSON() ?? null });
    pc.onnegotiationneeded = () => this.#negotiate();
    pc.ondatachannel = ({ channel }) => this.#use(channel);
    pc.ontrack = (event) => this.#arrived(event);
    pc.onconnectionstatechange = () => this.#moved();
  }

  /** Calls: voice, picture, data channel; the offer goes out by itself. */
  call() {
    this.#use(this.#pc.createDataChannel(LABEL));
    const init = { direction: "sendrecv", streams: [this.#local.stream] };
    this.#adopt("voice", this.#pc.addTransceiver("audio", init));
    this.#adopt("camera", this.#pc.addTransceiver("video", init));
    this.send();
  }

  get connected() {
    return this.#pc.connectionState === "connected";
  }

  /** There is a description of theirs. */
  get described() {
    return this.#session !== null;
  }

  /** An offer is out. */
  get offering() {
    return this.#offering || this.#pc.signalingState === "have-local-offer";
  }

  /** The offer is of another session than the one that this peer talks with. */
  isOther(sdp) {
    return this.#session !== null && this.#session !== sessionOf(sdp);
  }

  get stats() {
    return this.#pc.getStats();
  }

  /** Takes a description of theirs. */
  async describe(description) {
    const pc = this.#pc;
    const isOffer = description.type === "offer";
    const glare = isOffer && this.offering;
    if (glare && !this.#polite) return; // Ours stands, theirs is withdrawn by them.
    if (!isOffer && !this.#isAnswered(description)) return; // Its offer was withdrawn.
    await pc.setRemoteDescription(description);
    this.#session = sessionOf(description.sdp);
    for (const candidate of this.#early.splice(0)) this.candidate(candidate);
    if (isOffer) {
      for (const line of pc.getTransceivers()) {
        const what = line.receiver.track.kind === "audio" ? "voice" : "camera";
        if (!this.#lines[what]) this.#adopt(what, line);
      }
      await this.send();
      await pc.setLocalDescription();
      const { type, sdp } = pc.localDescription;
      this.#send({ description: { type, sdp, answers: ufragOf(description.sdp) } });
    }
    this.shape();
    this.#name();
  }

  /** An offer is out, and this answer is to it, or does not say to which. */
  #isAnswered({ answers }) {
    const { signalingState, localDescription } = this.#pc;
    return signalingState === "have-local-offer" && (!answers || answers === ufragOf(localDescription.sdp));
  }

  /** Takes a candidate of theirs (null: the last one has come). */
  async candidate(candidate) {
    if (!this.#pc.remoteDescription) {
      this.#early.push(candidate);
      return;
    }
    try {
      await this.#pc.addIceCandidate(candidate ?? undefined);
    } catch {
      // Of an offer that was ignored, or of a kind that this browser does not know.
    }
  }

  /** Says the offer again that may have been lost with the socket. */
  offerAgain() {
    if (this.#pc.signalingState === "have-local-offer") {
      this.#send({ description: this.#pc.localDescription });
    }
  }

  /** Sends the tracks that there are now. */
  async send() {
    if (!this.#lines.voice || this.#closed) return; // Nobody has called yet, or nobody is there any more.
    const { mic, camera, screen } = this.#local.sent;
    if (screen && !this.#lines.screen) {
      const init = { direction: "sendonly", streams: [this.#local.screenStream] };
      this.#adopt("screen", this.#pc.addTransceiver("video", init));
    }
    const lines = Object.entries({ voice: mic, camera, screen });
    if (this.#lines.screen) this.#lines.screen.direction = screen ? "sendonly" : "inactive";
    // Of a connection that is closed meanwhile, no track can be replaced.
    await Promise.allSettled(lines.map(([what, track]) => this.#lines[what]?.sender.replaceTrack(track)));
    this.shape();
  }

  /** Holds what is sent to what they asked for. */
  shape() {
    this.#shapers.camera?.show(this.asked.camera);
    this.#shapers.screen?.show(this.asked.screen, true);
    this.#shapers.voice?.speak(this.asked.camera);
  }

  /** Says something on the data channel, if it is open. */
  tell(message) {
    if (this.#channel?.readyState === "open") this.#channel.send(JSON.stringify(message));
  }

  /** How loud they are now, 0 to 1. A terminal spares each packet the header that would say it, so it is
   * asked of the decoder. */
  async level() {
    const stats = await this.#lines.voice?.receiver.getStats();
    const levels = [...(stats?.values() ?? [])].map((row) => row.audioLevel ?? 0);
    return Math.max(0, ...levels);
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#seeking);
    this.#pc.close();
  }

  #adopt(what, line) {
    this.#lines[what] = line;
    line.sender.setStreams?.(what === "screen" ? this.#local.screenStream : this.#local.stream);
    if (what !== "screen") line.direction = "sendrecv";
    prefer(line, what === "voice" ? VOICES : PICTURES);
    this.#shapers[what] = new Shaper(line.sender);
  }

  async #negotiate() {
    if (this.#closed) return;
    try {
      this.#offering = true;
      await this.#pc.setLocalDescription();
      this.#send({ description: this.#pc.localDescription });
      this.#name();
    } catch {
      // Closed, or an offer of theirs came first; then this is asked for again.
    } finally {
      this.#offering = false;
    }
  }

  /** Which media line is the screen: a browser cannot name its streams. */
  #name() {
    const mid = this.#lines.screen?.mid;
    if (mid) this.tell({ type: "media", mid, what: "screen" });
  }

  #use(channel) {
    if (channel.label !== LABEL) return;
    channel.onopen = () => {
      this.#channel = channel;
      this.#name();
      this.#on.open();
    };
    channel.onmessage = ({ data }) => {
      const message = typeof data === "string" ? parse(data) : null;
      if (message) this.#hear(message);
    };
  }

  #hear(message) {
    if (message.type === "viewport") {
      const { width, height, fps } = message;
      if (![width, height, fps].every(Number.isFinite)) return;
      this.asked[message.of === "screen" ? "screen" : "camera"] = { width, height, fps };
      this.shape();
    } else if (message.type === "media" && message.what === "screen") {
      this.#screens.add(String(message.mid));
      const line = this.#pc.getTransceivers().find((line) => line.mid === String(message.mid));
      if (line) this.#hand("screen", line.receiver.track);
    } else {
      this.#on.message(message);
    }
  }

  #arrived({ transceiver, track }) {
    const videos = this.#pc.getTransceivers().filter((line) => line.receiver.track.kind === "video");
    const second = videos.indexOf(transceiver) > 0 || this.#screens.has(transceiver.mid);
    this.#hand(track.kind === "audio" ? "voice" : second ? "screen" : "camera", track);
  }

  #hand(what, track) {
    if (this.tracks[what] === track) return;
    this.tracks[what] = track;
    this.#on.track(what, track);
  }

  #moved() {
    const state = this.#pc.connectionState;
    clearTimeout(this.#seeking);
    if (state === "disconnected" || state === "failed") this.#seek(this.#polite ? SEEK_LATER : 0);
    this.#on.state(state);
  }

  /** Begins with ICE anew; DTLS and all that is above it stay. */
  #seek(wait) {
    this.#seeking = setTimeout(() => {
      if (this.#pc.signalingState === "stable") this.#pc.restartIce();
      this.#seek(SEEK_AGAIN);
    }, wait);
  }
}

/** Puts the codecs of a line in this order, and leaves out the others. */
function prefer(line, order) {
  const kind = line.receiver.track.kind;
  const all = RTCRtpReceiver.getCapabilities?.(kind)?.codecs;
  if (!all || !line.setCodecPreferences) return;
  const is = (name) => all.filter(({ mimeType }) => mimeType.toLowerCase() === `${kind}/${name}`);
  // Of VP9 the first profile, which is what everyone has.
  const plain = ({ sdpFmtpLine }) => !/profile-id=[1-9]/.test(sdpFmtpLine ?? "");
  const codecs = order.flatMap(is).filter(plain);
  if (codecs.length) line.setCodecPreferences(codecs);
}

/** The session's identifier: the second field of SDP's `o=` line (RFC 8866, 5.2). */
function sessionOf(sdp) {
  return /^o=\S+ (\S+)/m.exec(sdp)?.[1] ?? "";
}

/** The name of ICE's session (RFC 8839, 5.4). */
function ufragOf(sdp) {
  return /^a=ice-ufrag:(\S+)/m.exec(sdp)?.[1];
}

function parse(text) {
  try {
    const message = JSON.parse(text);
    return typeof message?.type === "string" ? message : null;
  } catch {
    return null;
  }
}

// The own camera, microphone and screen.

import { memory } from "./dom.js";

const CAMERA = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
const MIC = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

/** This browser lets a page choose the speaker. */
const CHOOSES_SPEAKER = "setSinkId" in HTMLMediaElement.prototype;

export class Local {
  /** What the others are told that voice and camera belong to. */
  stream = new MediaStream();
  screenStream = new MediaStream();
  camera = null;
  mic = null;
  screen = null;
  /** Wanted; whether there is one is another matter. */
  cameraOn = memory.get("camera") !== "off";
  micOn = memory.get("mic") !== "off";
  /** The browser asks the person, or waits for the device. */
  asking = false;
  /** Called when any of this changed. */
  changed = () => {};
  /** Called with an error and what it is about, where something cannot be had or went away. */
  failed = () => {};
  #meter = null;
  #talk = false;
  #closed = false;
  #turn = Promise.resolve();

  /** What is sent now. */
  get sent() {
    const mic = (this.micOn || this.#talk) && this.mic;
    return { mic: mic || null, camera: this.camera, screen: this.screen };
  }

  /** As the others are told. */
  get mute() {
    const { mic, camera, screen } = this.sent;
    return { type: "mute", mic: !mic, camera: !camera, screen: Boolean(screen) };
  }

  /** Asks for what is wanted and not there yet: both at once, so that the browser asks once. */
  open() {
    return this.#inTurn(async () => {
      const video = this.cameraOn && !this.camera;
      const audio = !this.mic;
      if (!video && !audio) return;
      if (!navigator.mediaDevices) return this.failed(null, "camera and microphone");
      this.asking = true;
      this.changed();
      try {
        await this.#get(video, audio);
      } catch (error) {
        const both = video && audio;
        if (!both || error.name === "NotAllowedError") {
          return this.failed(error, both ? "camera and the microphone" : audio ? "microphone" : "camera");
        }
        // One of them is missing or in use: the other one may do.
        const camera = await this.#get(true, false).catch((error) => error);
        const mic = await this.#get(false, true).catch((error) => error);
        if (camera && mic) this.failed(mic, "camera and no microphone");
        else if (camera || mic) this.failed(camera || mic, camera ? "camera" : "microphone");
      } finally {
        this.asking = false;
        this.changed();
      }
    });
  }

  /** Another device; it is remembered. */
  choose(kind, deviceId) {
    memory.set(kind, deviceId);
    return this.#inTurn(async () => {
      if (kind === "videoinput") {
        this.#drop("camera");
        if (this.cameraOn) await this.#get(true, false).catch((error) => this.failed(error, "camera"));
      } else if (kind === "audioinput") {
        this.#drop("mic");
        await this.#get(false, true).catch((error) => this.failed(error, "microphone"));
      }
      this.changed();
    });
  }

  /** The devices of each kind, and which of them are in use. */
  async devices() {
    const all = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
    const of = (kind) => all.filter((device) => device.kind === kind && device.deviceId);
    const used = (track) => track?.getSettings().deviceId;
    return [
      { kind: "videoinput", list: of("videoinput"), used: used(this.camera) ?? memory.get("videoinput") },
      { kind: "audioinput", list: of("audioinput"), used: used(this.mic) ?? memory.get("audioinput") },
      { kind: "audiooutput", list: CHOOSES_SPEAKER ? of("audiooutput") : [], used: memory.get("audiooutput") ?? "default" },
    ];
  }

  setMic(on) {
    this.micOn = on;
    memory.set("mic", on ? "on" : "off");
    this.changed();
    if (on && !this.mic) this.open();
  }

  /** While it is held, a muted person is heard. */
  talk(on) {
    if (this.#talk === on || (on && this.micOn)) return;
    this.#talk = on;
    this.changed();
  }

  /** Off means off: the camera's light goes out. */
  setCamera(on) {
    this.cameraOn = on;
    memory.set("camera", on ? "on" : "off");
    if (on) return this.open();
    this.#drop("camera");
    this.changed();
  }

  /** Shares a screen, a window or a tab; the browser asks which. */
  async share() {
    const stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 15, max: 30 } } });
    if (this.#closed) return stop(stream);
    const [track] = stream.getVideoTracks();
    track.contentHint = "text";
    track.onended = () => this.unshare();
    this.screen = track;
    this.#fill(this.screenStream, [track]);
    this.changed();
  }

  unshare() {
    if (!this.screen) return;
    this.screen.stop();
    this.screen = null;
    this.#fill(this.screenStream, []);
    this.changed();
  }

  /** How loud the own microphone is, 0 to 1, whether or not it is muted. */
  level() {
    return this.mic ? (this.#meter ??= meter(this.mic)).read() : 0;
  }

  close() {
    this.#closed = true; // What the browser still asks for is let go when it comes.
    for (const what of ["camera", "mic", "screen"]) this.#drop(what);
  }

  /** Devices are asked for one after the other: a second question would meet a camera that is taken. */
  #inTurn(act) {
    this.#turn = this.#turn.then(act, act);
    return this.#turn;
  }

  async #get(video, audio) {
    const chosen = (kind) => {
      const deviceId = memory.get(kind);
      return deviceId ? { deviceId: { ideal: deviceId } } : {};
    };
    const stream = await navigator.mediaDevices.getUserMedia({
      video: video && { ...CAMERA, ...chosen("videoinput") },
      audio: audio && { ...MIC, ...chosen("audioinput") },
    });
    if (this.#closed) return stop(stream);
    for (const track of stream.getTracks()) {
      const what = track.kind === "video" ? "camera" : "mic";
      if (what === "camera" && !this.cameraOn) {
        track.stop(); // Switched off again while the browser asked.
        continue;
      }
      this[what] = track;
      track.onended = () => {
        if (this[what] !== track) return;
        this.#drop(what);
        this.changed();
        this.failed({ name: "NotFoundError" }, what === "mic" ? "microphone" : "camera");
      };
    }
    this.#fill(this.stream, [this.camera, this.mic]);
    this.changed();
  }

  #drop(what) {
    const track = this[what];
    if (!track) return;
    this[what] = null;
    track.stop();
    if (what === "mic") {
      this.#meter?.close();
      this.#meter = null;
    }
    this.#fill(this.stream, [this.camera, this.mic]);
  }

  #fill(stream, tracks) {
    for (const track of stream.getTracks()) if (!tracks.includes(track)) stream.removeTrack(track);
    for (const track of tracks) if (track) stream.addTrack(track);
  }
}

/** Reads the level of a track. */
function meter(track) {
  const audio = new AudioContext();
  const analyser = new AnalyserNode(audio, { fftSize: 1024 });
  const source = audio.createMediaStreamSource(new MediaStream([track]));
  source.connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  return {
    read() {
      analyser.getFloatTimeDomainData(samples);
      const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
      // 60 dB below full scale is nothing.
      return Math.max(0, Math.min(1, 1 + (10 * Math.log10(power + 1e-12)) / 60));
    },
    close() {
      source.disconnect();
      audio.close();
    },
  };
}

function stop(stream) {
  for (const track of stream.getTracks()) track.stop();
}

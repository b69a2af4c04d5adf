// Before the call: a look into the mirror, the devices, a name.

import { byId, make, memory, show } from "../dom.js";
import { deviceTrouble } from "../words.js";
import { toggle } from "./controls.js";

const NAMES = { videoinput: "Camera", audioinput: "Microphone", audiooutput: "Speaker" };

/** Shows how one looks and sounds, and waits until the person joins; gives their name. */
export function join(local, room) {
  byId("join-title").textContent = room;
  byId("join-name").value = memory.get("name") ?? "";
  const video = byId("join-video");
  const update = () => {
    // One without a picture would keep the page loading for ever.
    video.srcObject = local.camera && local.stream;
    video.hidden = !local.camera;
    byId("join-dark").hidden = Boolean(local.camera);
    byId("join-dark").textContent = local.asking ? "Waiting for the camera …" : local.cameraOn ? "No camera" : "The camera is off";
    toggle(byId("join-mic"), "mic", local.micOn, "Microphone");
    toggle(byId("join-camera"), "camera", local.cameraOn, "Camera");
    if (local.camera || local.mic) hideTrouble();
    chooser(byId("join-devices"), local);
  };
  local.changed = update;
  local.failed = (error, what) => {
    showTrouble(deviceTrouble(error, what));
    update();
  };
  byId("join-mic").onclick = () => local.setMic(!local.micOn);
  byId("join-camera").onclick = () => local.setCamera(!local.cameraOn);
  navigator.mediaDevices?.addEventListener("devicechange", update);
  const level = setInterval(() => (byId("join-level").value = local.level()), 100);
  update();
  show("join");
  local.open();
  return new Promise((resolve) => {
    byId("join-form").onsubmit = (event) => {
      event.preventDefault();
      clearInterval(level);
      navigator.mediaDevices?.removeEventListener("devicechange", update);
      video.srcObject = null;
      const name = byId("join-name").value.trim();
      memory.set("name", name);
      resolve(name);
    };
  });
}

/** The cameras and microphones that there are to choose from. */
export async function chooser(place, local) {
  const kinds = await local.devices();
  const fields = kinds.flatMap(({ kind, list, used }) => {
    if (list.length === 0) return [];
    const id = `${place.id}-${kind}`;
    const name = NAMES[kind];
    const options = list.map(({ deviceId, label }, n) =>
      make("option", { value: deviceId, selected: deviceId === used }, label || `${name} ${n + 1}`),
    );
    const select = make("select", { id, onchange: () => local.choose(kind, select.value) }, ...options);
    return [make("label", { htmlFor: id }, name), select];
  });
  if (!place.contains(document.activeElement)) place.replaceChildren(...fields);
}

function showTrouble({ title, text, list = [] }) {
  const place = byId("join-trouble");
  place.replaceChildren(make("strong", {}, title), make("p", {}, text));
  if (list.length) {
    const items = list.map(([what, command]) => make("li", {}, `${what} `, make("code", {}, command)));
    place.append(make("ul", {}, ...items));
  }
  place.hidden = false;
}

function hideTrouble() {
  byId("join-trouble").hidden = true;
}

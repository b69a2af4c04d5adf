// The page: home, join, call, end.

import { byId, show } from "./dom.js";
import { Local } from "./media.js";
import { Call, copies } from "./view/call.js";
import { join } from "./view/join.js";

const { room } = document.body.dataset;
/** The server, which may live below a path of another one. */
const server = new URL(".", location.href);
const base = server.href.replace(/\/$/, "");

let call = null;

function home() {
  const input = byId("home-room");
  const go = (name) => location.assign(new URL(name, server));
  byId("home-form").onsubmit = (event) => {
    event.preventDefault();
    go(input.value.trim());
  };
  byId("home-private").onclick = () => {
    const letters = "abcdefghijkmnpqrstuvwxyz23456789";
    const random = crypto.getRandomValues(new Uint8Array(15));
    const name = Array.from(random, (byte) => letters[byte % letters.length]).join("");
    go(`${name.slice(0, 5)}-${name.slice(5, 10)}-${name.slice(10)}`);
  };
  show("home");
}

async function meet() {
  for (const place of document.querySelectorAll(".terminal")) {
    place.textContent = `facetty --room ${room} --server ${base}`;
  }
  for (const id of ["alone-link", "help-link"]) byId(id).textContent = `${base}/${room}`;
  copies();
  const local = new Local();
  const name = await join(local, room);
  const url = new URL("ws", server);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  call = new Call({ url: url.href, room, name, local, ended: end });
}

function end({ title, text, again }) {
  call = null;
  document.title = `${title} · facetty`;
  byId("end-title").textContent = title;
  byId("end-text").textContent = text;
  byId("end-again").textContent = again ? "Join again" : "Try again";
  byId("end-again").onclick = () => location.reload();
  show("end");
}

// Who goes is gone at once, and what comes out of the browser's cache begins anew.
addEventListener("pagehide", () => call?.leave());
addEventListener("pageshow", ({ persisted }) => persisted && location.reload());

if (room) meet();
else home();

// What went wrong, in words, and what to do about it.

const here = location;

/** Why the camera or the microphone cannot be had; `what` is one of them, or both. */
export function deviceTrouble(error, what) {
  if (!isSecureContext || !navigator.mediaDevices) {
    const port = here.port || "80";
    return {
      title: "No camera and no microphone on this address",
      text:
        "Browsers give them to pages by https or on localhost only, and this page came by plain http. " +
        "You can join all the same: you see and hear the others, and chat. To be seen and heard, one of:",
      list: [
        ["whoever runs the server starts it with", "facetty serve --tls self-signed"],
        ["from your machine, carry the port over", `ssh -L ${port}:localhost:${port} ${here.hostname}`],
        ["and open", `http://localhost:${port}${here.pathname}`],
      ],
    };
  }
  switch (error?.name) {
    case "NotAllowedError":
    case "SecurityError":
      return {
        title: `The ${what} may not be used`,
        text:
          "This page was not given permission. Allow it by the symbol beside the address, " +
          "and see to it that the system lets the browser use it. You can join without.",
      };
    case "NotFoundError":
    case "OverconstrainedError":
      return {
        title: `No ${what} was found`,
        text: "Plug one in and it is there; or join without: you see and hear the others.",
      };
    case "NotReadableError":
    case "AbortError":
      return {
        title: `The ${what} is in use`,
        text: "Another program holds it, or the system refuses it. Close that program and try again.",
      };
    default:
      return {
        title: `The ${what} cannot be used`,
        text: `${error?.message || "The browser does not say why."} You can join without.`,
      };
  }
}

/** Why the meeting point lets nobody in: its code, and its own words. */
export function refusal(code, message) {
  switch (code) {
    case "room-full":
      return { title: "This room is full", text: `The room ${message ?? "has no place left"}. Wait until somebody leaves, or meet in another room.` };
    case "server-full":
      return { title: "This server is full", text: `${sentence(message)} Try again later, or run a server of your own: facetty serve` };
    case "version":
      return {
        title: "This page is of another version than the server",
        text: "The server was replaced meanwhile. Load the page again.",
        again: true,
      };
    case "bad-room":
      return { title: "That is no room", text: "A room is named by 1 to 64 letters, digits, dots, dashes and underscores." };
    case "replaced":
      return { title: "You joined from somewhere else", text: "The call goes on there.", again: true };
    case "too-many":
      return { title: "Too much at once", text: `${sentence(message)} Wait a minute and try again.`, again: true };
    default:
      return { title: "The server refused this", text: sentence(message) || "It does not say why.", again: true };
  }
}

export const LOST = "The server cannot be reached. Calls that stand go on; it is tried again.";

export const NO_PATH =
  "No path was found: a firewall or NAT is in the way. Another network may do, or a server with a relay " +
  "on a public machine: facetty serve";

/** Why a screen is not shared; nothing where the person changed their mind. */
export function shareTrouble(error) {
  if (error?.name === "NotAllowedError") return null;
  if (!navigator.mediaDevices?.getDisplayMedia) {
    return isSecureContext
      ? "This browser cannot share a screen."
      : "A screen can be shared by https or on localhost only.";
  }
  return `The screen cannot be shared: ${error.message}`;
}

function sentence(text) {
  if (!text) return "";
  const capital = text[0].toUpperCase() + text.slice(1);
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}

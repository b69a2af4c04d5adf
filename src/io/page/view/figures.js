// What goes over the line, in words.

/** Reads a person's statistics; `before` is what was read the last time. */
export async function figures(person, before) {
  const now = { at: performance.now(), sent: 0, received: 0 };
  const line = {};
  for (const row of (await person.peer.stats).values()) {
    if (row.type === "transport") {
      now.sent += row.bytesSent;
      now.received += row.bytesReceived;
    } else if (row.type === "candidate-pair" && row.nominated && row.currentRoundTripTime !== undefined) {
      line.rtt = row.currentRoundTripTime * 1000;
    } else if (row.type === "inbound-rtp" && row.kind === "video" && row.frameWidth) {
      line.seen ??= `${row.frameWidth}x${row.frameHeight} ${Math.round(row.framesPerSecond ?? 0)}/s`;
    } else if (row.type === "outbound-rtp" && row.kind === "video" && row.frameWidth) {
      line.shown ??= `${row.frameWidth}x${row.frameHeight} ${Math.round(row.framesPerSecond ?? 0)}/s`;
    }
  }
  const seconds = before ? (now.at - before.at) / 1000 : 0;
  const rate = (what) => (seconds ? `${Math.round(((now[what] - before[what]) * 8) / 1000 / seconds)} kbit/s` : "");
  const text = [
    line.rtt === undefined ? "" : `${Math.round(line.rtt)} ms`,
    `in  ${rate("received")} ${line.seen ?? ""}`,
    `out ${rate("sent")} ${line.shown ?? ""}`,
  ];
  return { ...now, text: text.filter(Boolean).join("\n") };
}

// Mark a frame's verdict as wrong, or remove the mark; return whether it is marked now.

import { gettext } from "./language.js";

export async function toggleMark(frame, marked) {
  const request = marked
    ? { method: "DELETE" }
    : { method: "PUT", headers: { "Content-Type": "application/json" }, body: "{}" };
  const answer = await fetch(`/api/frames/${frame}/mark`, request);
  if (!answer.ok) throw new Error((await answer.json()).detail ?? gettext("not marked (%(status)s)", { status: answer.status }));
  return !marked;
}

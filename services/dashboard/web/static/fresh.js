// Pages that stay up to date: on each event the page is fetched again, and its elements with data-fresh are replaced.

import { gettext } from "./language.js";

const SILENCE_MS = 7000; // without an event: the page shows that it is not up to date
const WAIT_MS = 1000; // between two fetches of a page that waits for a result
const LINKS = { live: gettext("Live"), waiting: gettext("Connecting…"), lost: gettext("Offline: not up to date") };

let busy = false;
let next = null;
let heardAt = 0;

const FIELDS = "input:not([type=hidden]), select, textarea";

// A person writes in it: the text would be lost.
const isInUse = (element) => [...element.querySelectorAll(FIELDS)].some((field) =>
  field === document.activeElement || (field.defaultValue !== undefined && field.value !== field.defaultValue) || field.checked !== field.defaultChecked);

function replace(page) {
  for (const stale of document.querySelectorAll("[data-fresh]")) {
    const fresh = page.getElementById(stale.id);
    if (!fresh) continue;
    const [was, becomes] = [stale, fresh].map((element) => [...element.querySelectorAll("details")]);
    if (was.length === becomes.length) becomes.forEach((details, index) => { details.open = was[index].open; });
    if (fresh.isEqualNode(stale) || isInUse(stale)) continue;
    stale.replaceWith(document.adoptNode(fresh));
  }
}

export async function refresh(address = location.href) {
  if (busy) {
    next = address;
    return;
  }
  busy = true;
  try {
    const answer = await fetch(address, { headers: { Accept: "text/html" } });
    if (answer.ok) replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    // the next event fetches the page again
  }
  busy = false;
  if (next !== null) {
    const waiting = next;
    next = null;
    await refresh(waiting);
  }
}

function showLink(state) {
  const link = document.getElementById("link");
  if (!link || link.dataset.link === state) return;
  link.dataset.link = state;
  link.querySelector("span").textContent = LINKS[state];
  document.body.classList.toggle("stale", state === "lost");
}

function markAlive() {
  heardAt = Date.now();
  showLink("live");
}

function listen() {
  const stream = new EventSource("/api/events");
  stream.addEventListener("beat", markAlive);
  stream.onopen = () => refresh(); // for changes before the stream was open
  for (const event of ["training", "model"]) {
    stream.addEventListener(event, () => {
      markAlive();
      refresh();
    });
  }
  stream.onerror = () => {
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 3000); // otherwise it connects again by itself
  };
}

export function follow() {
  listen();
  setInterval(() => {
    if (heardAt && Date.now() - heardAt > SILENCE_MS) showLink("lost");
    if (document.querySelector("[data-wait]")) refresh();
  }, WAIT_MS);
}

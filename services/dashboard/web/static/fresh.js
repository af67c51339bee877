// Pages that change while they are looked at: on news the page is fetched again, and its parts that say so are replaced.

const SILENCE_MS = 7000; // after which nothing on the page may look alive
const WAIT_MS = 1000; // between two looks, where something is waited for
const LINKS = { live: "Live", waiting: "Connecting…", lost: "No connection: what you see is old" };

let busy = false;
let next = null;
let heardAt = 0;

const isTyped = (element) => element?.matches("input, select, textarea");

function replace(page) {
  for (const part of document.querySelectorAll("[data-fresh]")) {
    const fresh = page.getElementById(part.id);
    if (!fresh || fresh.isEqualNode(part)) continue;
    if (part.contains(document.activeElement) && isTyped(document.activeElement)) continue;
    part.replaceWith(document.adoptNode(fresh));
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
    // the next news brings the next try
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

function hear() {
  heardAt = Date.now();
  showLink("live");
}

function listen() {
  const stream = new EventSource("/api/events");
  stream.addEventListener("beat", hear);
  stream.onopen = () => refresh(); // what happened before the stream stood
  for (const event of ["training", "model"]) {
    stream.addEventListener(event, () => {
      hear();
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

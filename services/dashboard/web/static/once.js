// Forms that are sent once: their buttons are disabled while the browser waits for the answer.

for (const form of document.querySelectorAll("form[data-once]")) {
  const button = form.querySelector("button");
  form.addEventListener("submit", () => (button.disabled = true));
  // a page that the browser shows again from its memory
  addEventListener("pageshow", (shown) => shown.persisted && (button.disabled = false));
}

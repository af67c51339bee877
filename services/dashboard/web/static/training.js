// The form of a training: counts, problems and the estimated time follow what is chosen.

import { refresh } from "./fresh.js";

const form = document.getElementById("training");

form.addEventListener("change", () => {
  const fields = new FormData(form);
  fields.delete("recipe_yaml"); // it may be longer than an address
  refresh(`${location.pathname}?${new URLSearchParams(fields)}`);
});

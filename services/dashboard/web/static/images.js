// Replace an image that is not in storage any more with a text.

import { gettext } from "./language.js";

for (const image of document.querySelectorAll("img[data-stored]")) {
  const replace = () => {
    const blank = document.createElement("span");
    blank.className = "blank";
    blank.textContent = gettext("image not stored");
    image.replaceWith(blank);
  };
  image.addEventListener("error", replace);
  if (image.complete && image.naturalWidth === 0 && image.loading !== "lazy") replace();
}

// Upload a video or a zip of labelled images, and show the progress. Without this script, forms show no progress.

import { gettext, percent } from "./language.js";

for (const form of document.querySelectorAll("form.upload[data-most]")) {
  const bar = form.querySelector(".progress");
  const warning = form.querySelector(".warning");
  const made = form.querySelector(".made");

  const warn = (text) => {
    bar.hidden = true;
    warning.hidden = false;
    warning.textContent = `▲ ${text}`;
    form.querySelector("button").disabled = false;
  };

  const showProgress = (share) => {
    bar.querySelector("progress").value = share;
    bar.querySelector("[role=status]").textContent =
      share < 1 ? gettext("%(share)s uploaded", { share: percent(share, 0) }) : made ? gettext("Uploaded; reading all images …") : gettext("Uploaded; reading all frames …");
    if (share >= 1) bar.querySelector("progress").removeAttribute("value");
  };

  // What became of a zip of labelled images: its counts, what was left out, and what may be wrong.
  const showDataset = (dataset) => {
    const labels = Object.entries(dataset.labels).map(([name, count]) => `${name} ${count}`).join(", ");
    const heading = document.createElement("p");
    const name = Object.assign(document.createElement("code"), { textContent: dataset.dataset });
    const values = { images: dataset.images, groups: dataset.groups, masks: dataset.masks, labels };
    const counts = dataset.is_new
      ? gettext("has %(images)s images of %(groups)s groups, %(masks)s of them with masks; %(labels)s.", values)
      : gettext("holds the same already: %(images)s images of %(groups)s groups, %(masks)s of them with masks; %(labels)s.", values);
    heading.append("✓ ", name, " ", counts);
    const list = document.createElement("ul");
    for (const line of [...dataset.left_out.map((each) => gettext("▲ left out: %(reason)s", { reason: each })), ...dataset.notes]) {
      list.append(Object.assign(document.createElement("li"), { textContent: line }));
    }
    const reference = encodeURIComponent(dataset.dataset);
    const next = document.createElement("p");
    for (const [text, href] of [[gettext("Train a model"), `/trainings/new?dataset=${reference}`], [gettext("Draft its recipe"), `/drafts?dataset=${reference}`]]) {
      next.append(Object.assign(document.createElement("a"), { textContent: text, href, className: "button" }), " ");
    }
    made.replaceChildren(heading, list, next);
    made.hidden = false;
    bar.hidden = true;
    form.querySelector("button").disabled = false;
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const data = new FormData(form);
    const size = [...data.values()].reduce((sum, value) => sum + (value.size ?? 0), 0);
    warning.hidden = true;
    if (made) made.hidden = true;
    if (size > Number(form.dataset.most)) {
      warn(gettext("%(size)s MB are more than the %(most)s MB of the largest upload: make several of it", { size: Math.round(size / 1e6), most: Math.round(form.dataset.most / 1e6) }));
      return;
    }
    const request = new XMLHttpRequest(); // fetch reports no progress of an upload
    request.responseType = "json";
    request.upload.addEventListener("progress", (sent) => showProgress(sent.loaded / sent.total));
    request.addEventListener("error", () => warn(gettext("the connection was lost: try again")));
    request.addEventListener("load", () => {
      if (request.status !== 201) warn(request.response?.detail ?? gettext("the upload failed (%(status)s)", { status: request.status }));
      else if (made) showDataset(request.response);
      else location.assign(`/labelling/${request.response.source}`);
    });
    request.open("POST", form.action);
    form.querySelector("button").disabled = true;
    bar.hidden = false;
    bar.querySelector("progress").value = 0;
    showProgress(0);
    request.send(data);
  });
}

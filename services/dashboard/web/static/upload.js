// Upload a video or a zip of labelled images, and show the progress. Without this script, forms show no progress.

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
      share < 1 ? `${Math.round(100 * share)}% uploaded` : made ? "Uploaded; reading all images …" : "Uploaded; reading all frames …";
    if (share >= 1) bar.querySelector("progress").removeAttribute("value");
  };

  // What became of a zip of labelled images: its counts, what was left out, and what may be wrong.
  const showDataset = (dataset) => {
    const labels = Object.entries(dataset.labels).map(([name, count]) => `${name} ${count}`).join(", ");
    const heading = document.createElement("p");
    const name = Object.assign(document.createElement("code"), { textContent: dataset.dataset });
    const counts = ` ${dataset.is_new ? "has" : "holds the same already:"} ${dataset.images} images of ${dataset.groups} groups, ${dataset.masks} of them with masks; ${labels}: name it when you request a training.`;
    heading.append("✓ ", name, counts);
    const list = document.createElement("ul");
    for (const line of [...dataset.left_out.map((each) => `▲ left out: ${each}`), ...dataset.notes]) {
      list.append(Object.assign(document.createElement("li"), { textContent: line }));
    }
    made.replaceChildren(heading, list);
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
      warn(`${Math.round(size / 1e6)} MB are more than the ${Math.round(form.dataset.most / 1e6)} MB of the largest upload: make several of it`);
      return;
    }
    const request = new XMLHttpRequest(); // fetch reports no progress of an upload
    request.responseType = "json";
    request.upload.addEventListener("progress", (sent) => showProgress(sent.loaded / sent.total));
    request.addEventListener("error", () => warn("the connection was lost: try again"));
    request.addEventListener("load", () => {
      if (request.status !== 201) warn(request.response?.detail ?? `the upload failed (${request.status})`);
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

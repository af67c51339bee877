// Upload a video and show the progress. Without this script, the form uploads it without showing progress.

const form = document.getElementById("upload");
const bar = form.querySelector(".progress");
const warning = form.querySelector(".warning");

function warn(text) {
  bar.hidden = true;
  warning.hidden = false;
  warning.textContent = `▲ ${text}`;
  form.querySelector("button").disabled = false;
}

function showProgress(share) {
  bar.querySelector("progress").value = share;
  bar.querySelector("[role=status]").textContent =
    share < 1 ? `${Math.round(100 * share)}% uploaded` : "Uploaded; reading all frames …";
  if (share >= 1) bar.querySelector("progress").removeAttribute("value");
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const data = new FormData(form);
  const size = [...data.values()].reduce((sum, value) => sum + (value.size ?? 0), 0);
  warning.hidden = true;
  if (size > Number(form.dataset.most)) {
    warn(`${Math.round(size / 1e6)} MB are more than the ${Math.round(form.dataset.most / 1e6)} MB of the largest upload: cut the video`);
    return;
  }
  const request = new XMLHttpRequest(); // fetch reports no progress of an upload
  request.responseType = "json";
  request.upload.addEventListener("progress", (sent) => showProgress(sent.loaded / sent.total));
  request.addEventListener("error", () => warn("the connection was lost: try again"));
  request.addEventListener("load", () => {
    if (request.status === 201) location.assign(`/labelling/${request.response.source}`);
    else warn(request.response?.detail ?? `the upload failed (${request.status})`);
  });
  request.open("POST", form.action);
  form.querySelector("button").disabled = true;
  bar.hidden = false;
  showProgress(0);
  request.send(data);
});

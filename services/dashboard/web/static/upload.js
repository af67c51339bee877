// Uploads a video with its progress; without this script the form does the same, and says nothing meanwhile.

const form = document.getElementById("upload");
const bar = form.querySelector(".progress");
const trouble = form.querySelector(".warning");

function complain(text) {
  bar.hidden = true;
  trouble.hidden = false;
  trouble.textContent = `▲ ${text}`;
  form.querySelector("button").disabled = false;
}

function tell(share) {
  bar.querySelector("progress").value = share;
  bar.querySelector("[role=status]").textContent =
    share < 1 ? `${Math.round(100 * share)}% uploaded` : "Uploaded; reading every frame …";
  if (share >= 1) bar.querySelector("progress").removeAttribute("value");
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const data = new FormData(form);
  const size = [...data.values()].reduce((sum, value) => sum + (value.size ?? 0), 0);
  trouble.hidden = true;
  if (size > Number(form.dataset.most)) {
    complain(`${Math.round(size / 1e6)} MB are more than the ${Math.round(form.dataset.most / 1e6)} MB that may be uploaded: cut the video`);
    return;
  }
  const request = new XMLHttpRequest(); // fetch tells nothing of how far an upload is
  request.responseType = "json";
  request.upload.addEventListener("progress", (sent) => tell(sent.loaded / sent.total));
  request.addEventListener("error", () => complain("the connection was lost: try again"));
  request.addEventListener("load", () => {
    if (request.status === 201) location.assign(`/labelling/${request.response.source}`);
    else complain(request.response?.detail ?? `not taken in (${request.status})`);
  });
  request.open("POST", form.action);
  form.querySelector("button").disabled = true;
  bar.hidden = false;
  tell(0);
  request.send(data);
});

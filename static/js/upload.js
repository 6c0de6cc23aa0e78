// A file's way to the server: too large is said before it is sent, and how much has arrived is shown.
// form[data-upload][data-most-mb] with input[type=file] and [data-upload-bar]. Without script it is sent as it is.
import { toast } from "./toasts.js";

for (const form of document.querySelectorAll("form[data-upload]")) {
  const input = form.querySelector("input[type=file]");
  const bar = form.querySelector("[data-upload-bar]");
  const most = Number(form.dataset.mostMb) * 1024 * 1024;
  if (!input || !bar) continue;

  const complain = () => {
    const file = input.files[0];
    const tooLarge = file && file.size > most;
    input.setCustomValidity(
      tooLarge
        ? `This file has ${
          Math.ceil(file.size / 1048576).toLocaleString()
        } MB; at most ${form.dataset.mostMb} MB are taken.`
        : "",
    );
    return tooLarge;
  };
  input.addEventListener("change", () => {
    if (complain()) input.reportValidity();
  });
  complain();

  form.addEventListener("submit", (event) => {
    if (event.defaultPrevented || !input.files.length) return;
    event.preventDefault();
    const request = new XMLHttpRequest();
    request.open("POST", form.action);
    request.responseType = "text";
    request.upload.addEventListener("progress", ({ loaded, total, lengthComputable }) => {
      if (!lengthComputable) return;
      bar.querySelector("progress").value = loaded / total;
      bar.querySelector("[data-upload-share]").textContent = loaded < total
        ? `${Math.floor((100 * loaded) / total)} %`
        : "looking at it …";
    });
    request.addEventListener("load", () => {
      if (request.status < 400 && request.responseURL !== form.action) {
        location.assign(request.responseURL);
        return;
      }
      const page = new DOMParser().parseFromString(request.responseText, "text/html");
      const answered = page.querySelector("form[data-upload]");
      bar.hidden = true;
      delete form.dataset.sent;
      if (!answered) {
        toast(
          page.querySelector("[data-error-lead]")?.textContent.trim() || `That did not work (${request.status}).`,
          "error",
        );
        return;
      }
      const before = input.closest(".field");
      const after = answered.querySelector("input[type=file]").closest(".field");
      before.classList.toggle("wrong", after.classList.contains("wrong"));
      before.querySelector(".errorlist")?.remove();
      const errors = after.querySelector(".errorlist");
      if (errors) {
        before.append(document.adoptNode(errors));
        input.setAttribute("aria-invalid", "true");
        input.focus();
      }
    });
    const lost = () => {
      bar.hidden = true;
      delete form.dataset.sent;
      toast("The connection broke while the file was sent. Nothing was kept; try again.", "error");
    };
    request.addEventListener("error", lost);
    request.addEventListener("abort", lost);
    bar.hidden = false;
    const data = new FormData(form);
    // fields before the file, so that they arrive even where the file is cut off
    const file = data.get(input.name);
    data.delete(input.name);
    data.append(input.name, file);
    request.send(data);
  });
}

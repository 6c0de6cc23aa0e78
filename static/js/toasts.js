// Short messages in a corner of the page. One that reports no error goes by itself after a while.
const TOAST_MS = 7000;

export function toast(text, kind = "info") {
  const box = document.getElementById("toasts");
  const template = document.getElementById("toast-template");
  if (!box || !template) return;
  for (const other of box.querySelectorAll("p")) if (other.textContent === text) return;
  const node = template.content.firstElementChild.cloneNode(true);
  node.classList.add(kind);
  node.querySelector("p").textContent = text;
  const picture = node.querySelector("use");
  const icon = { success: "ok", error: "error", warning: "warning" }[kind];
  if (icon) picture.setAttribute("href", picture.getAttribute("href").replace(/#info$/, "#" + icon));
  box.append(node);
}

function watchToast(node) {
  if (node.dataset.watched) return;
  node.dataset.watched = "1";
  if (node.matches(".error, .bad")) return;
  let timer = setTimeout(() => node.remove(), TOAST_MS);
  node.addEventListener("pointerenter", () => clearTimeout(timer));
  node.addEventListener("pointerleave", () => {
    timer = setTimeout(() => node.remove(), TOAST_MS / 2);
  });
}

const toasts = document.getElementById("toasts");
if (toasts) {
  const look = () => toasts.querySelectorAll("[data-toast]").forEach(watchToast);
  new MutationObserver(look).observe(toasts, { childList: true });
  look();
}

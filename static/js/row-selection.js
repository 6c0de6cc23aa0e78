// Ticking rows of a list: all at once, how many, and no menu for those ticked while there are none.
//   form[data-choose] with checkboxes named document or example (inside, or by their form attribute);
//   [data-choose-all], [data-choose-count], [data-choose-menu] and [data-choose-button] inside of it
import { toast } from "./toasts.js";

const ticks = (form) =>
  [...form.elements].filter((box) =>
    box.matches("input[type=checkbox][name=document], input[type=checkbox][name=example]")
  );

function show(form) {
  const boxes = ticks(form);
  const ticked = boxes.filter((box) => box.checked);
  const all = form.querySelector("[data-choose-all]");
  const count = form.querySelector("[data-choose-count]");
  if (all) {
    all.checked = boxes.length > 0 && ticked.length === boxes.length;
    all.indeterminate = ticked.length > 0 && ticked.length < boxes.length;
  }
  if (count) count.textContent = ticked.length ? `${ticked.length} selected` : "";
  for (const box of boxes) box.closest("tr, [data-example]")?.classList.toggle("on", box.checked);
  for (const menu of form.querySelectorAll("[data-choose-menu]")) {
    menu.querySelector("summary").setAttribute("aria-disabled", String(!ticked.length));
    if (!ticked.length) menu.open = false;
  }
  for (const button of form.querySelectorAll("[data-choose-button]")) button.disabled = !ticked.length;
}

document.addEventListener("change", (event) => {
  const form = event.target.form;
  if (!form?.matches("[data-choose]") || !event.target.matches("input[type=checkbox]")) return;
  if (event.target.matches("[data-choose-all]")) { for (const box of ticks(form)) box.checked = event.target.checked; }
  show(form);
});
document.addEventListener("click", (event) => {
  const summary = event.target.closest("[data-choose-menu] > summary[aria-disabled=true]");
  if (!summary) return;
  event.preventDefault();
  toast("Select at least one first.", "info");
});
const showAll = () => document.querySelectorAll("form[data-choose]").forEach(show);
document.addEventListener("htmx:afterSwap", showAll);
window.addEventListener("pageshow", showAll);
showAll();

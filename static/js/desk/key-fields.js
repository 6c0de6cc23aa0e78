// input[data-key-field]: a key pressed in it is written into it as the desk reads it. Tab, Esc and Enter keep their
// meaning; Backspace empties it.
import { plain, written } from "./keys.js";

const MODIFIERS = ["control", "shift", "alt", "meta", "altgraph", "dead", "process", "capslock"];

document.addEventListener("keydown", (event) => {
  const field = event.target.closest?.("input[data-key-field]");
  if (!field || event.isComposing || event.getModifierState("AltGraph")) return;
  const key = plain(event);
  if (MODIFIERS.includes(key) || ["tab", "escape"].includes(key)) return;
  const modified = event.ctrlKey || event.metaKey || event.altKey;
  if (!modified && (key === "enter" || key.startsWith("arrow"))) return;
  event.preventDefault();
  if (!modified && ["backspace", "delete"].includes(key)) {
    field.value = "";
    return;
  }
  field.value = written(event);
  field.removeAttribute("aria-invalid");
});

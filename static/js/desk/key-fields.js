// input[data-key-field]: a key pressed in it is written into it. Tab, Esc and Enter keep their meaning; Backspace
// empties it.
const isMac = /Mac|iPhone|iPad/.test(navigator.platform);
const MODIFIERS = ["control", "shift", "alt", "meta", "altgraph", "dead", "process", "capslock"];
document.addEventListener("keydown", (event) => {
  const field = event.target.closest?.("input[data-key-field]");
  if (!field || event.isComposing || event.getModifierState("AltGraph")) return;
  let key = event.key.toLowerCase();
  if (MODIFIERS.includes(key) || ["tab", "escape"].includes(key)) return;
  const modified = event.ctrlKey || event.metaKey || event.altKey;
  if (!modified && (key === "enter" || key.startsWith("arrow"))) return;
  event.preventDefault();
  if (!modified && ["backspace", "delete"].includes(key)) {
    field.value = "";
    return;
  }
  if (key === " ") key = "space";
  if (event.altKey && isMac && /^Key[A-Z]$/.test(event.code)) key = event.code.slice(-1).toLowerCase();
  const shift = event.shiftKey && (key.length > 1 || /^[\p{L}\d]$/u.test(key));
  field.value = [event.ctrlKey || event.metaKey ? "ctrl+" : "", event.altKey ? "alt+" : "", shift ? "shift+" : "", key]
    .join("");
  field.removeAttribute("aria-invalid");
});

// Loaded blocking in <head>, so that the stored theme is there before the first paint.
(() => {
  "use strict";
  const root = document.documentElement;
  const KEY = "galley-theme";

  function stored() {
    try {
      return localStorage.getItem(KEY) || "";
    } catch (_) {
      return "";
    } // storage may be switched off
  }
  function apply(theme) {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    else delete root.dataset.theme;
    for (const button of document.querySelectorAll("[data-theme-set]")) {
      button.setAttribute("aria-pressed", String(button.dataset.themeSet === theme));
    }
  }

  apply(stored());
  document.addEventListener("DOMContentLoaded", () => {
    for (const picker of document.querySelectorAll("[data-theme-picker]")) picker.hidden = false;
    apply(stored());
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-theme-set]");
    if (!button) return;
    const theme = button.dataset.themeSet;
    try {
      theme ? localStorage.setItem(KEY, theme) : localStorage.removeItem(KEY);
    } catch (_) { /* lasts for this page */ }
    apply(theme);
  });
  window.addEventListener("storage", (event) => {
    if (event.key === KEY) apply(event.newValue || "");
  });
})();

// Answers that the server has not confirmed yet, in this browser's storage (which may be switched off or full).
(() => {
  "use strict";
  const PREFIX = "galley-desk:";
  const KEPT_MS = 30 * 24 * 3600 * 1000;

  window.galleyLocalDrafts = {
    of(user, item) { return `${PREFIX}${user}:${item}`; },
    get(key) { try { return JSON.parse(localStorage.getItem(key)); } catch (_) { return null; } },
    set(key, value) { try { localStorage.setItem(key, JSON.stringify(value)); return true; } catch (_) { return false; } },
    drop(key) { try { localStorage.removeItem(key); } catch (_) { /* nothing to drop then */ } },
    sweep() {
      try {
        for (const key of Object.keys(localStorage)) {
          if (!key.startsWith(PREFIX)) continue;
          const kept = this.get(key);
          if (!kept || Date.now() - (kept.at || 0) > KEPT_MS) localStorage.removeItem(key);
        }
      } catch (_) { /* nothing to sweep then */ }
    },
  };
  document.addEventListener("DOMContentLoaded", () => window.galleyLocalDrafts.sweep());
})();

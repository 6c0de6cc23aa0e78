// Answers that the server has not confirmed yet, in this browser's storage (which may be switched off or full).
const PREFIX = "galley-desk:";
const KEPT_MS = 30 * 24 * 3600 * 1000;

export const keyOf = (user, item) => `${PREFIX}${user}:${item}`;

export function get(key) {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch (_) {
    return null;
  }
}

/** Whether there was room for it. */
export function set(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
    return true;
  } catch (_) {
    return false;
  }
}

export function drop(key) {
  try {
    localStorage.removeItem(key);
  } catch (_) { /* nothing to drop then */ }
}

/** Forgets what nobody came back to. */
export function sweep() {
  try {
    for (const key of Object.keys(localStorage)) {
      if (!key.startsWith(PREFIX)) continue;
      const kept = get(key);
      if (!kept || Date.now() - (kept.at || 0) > KEPT_MS) localStorage.removeItem(key);
    }
  } catch (_) { /* nothing to sweep then */ }
}

// Which action a key means, by the person's own keys (reviews/desk/keys.py writes them the same way).
const isMac = /Mac|iPhone|iPad/.test(navigator.platform);
const NAMES = { " ": "space", esc: "escape" };

/** The key without its modifiers. Alt makes other characters of digits and letters on some systems. */
export function plain(event) {
  const key = event.key.toLowerCase();
  if (/^(Digit|Numpad)\d$/.test(event.code) && !/^\d$/.test(key)) return event.code.slice(-1);
  if (event.altKey && isMac && /^Key[A-Z]$/.test(event.code)) return event.code.slice(-1).toLowerCase();
  return NAMES[key] || key;
}

/** `ctrl+alt+shift+key`; on a Mac Cmd is Ctrl. Shift is not named where it only makes another character. */
export function written(event) {
  const key = plain(event);
  const shift = event.shiftKey && (key.length > 1 || /^[\p{L}\d]$/u.test(key));
  return [event.ctrlKey || event.metaKey ? "ctrl+" : "", event.altKey ? "alt+" : "", shift ? "shift+" : "", key].join(
    "",
  );
}

const isSingle = (key) => key.lastIndexOf("+") <= 0 && !/^f\d/.test(key);

export class Keys {
  constructor(byAction, single) {
    this.actions = new Map(Object.entries(byAction).map(([action, key]) => [key, action]));
    this.single = single;
  }

  /** The action, or "". */
  actionOf(event, typing) {
    if (event.getModifierState("AltGraph")) return "";
    const whole = written(event);
    const action = this.actions.get(whole);
    if (action && !isSingle(whole)) return action;
    // some keyboards type digits with Shift
    if (event.ctrlKey || event.metaKey || (event.shiftKey && !/^\d$/.test(plain(event)))) return "";
    if (!event.altKey && (typing || !this.single)) return "";
    const key = plain(event);
    return isSingle(key) ? this.actions.get(key) || "" : "";
  }
}

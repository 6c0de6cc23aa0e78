// What htmx does not know by itself: say so when a request failed, send people to sign in when their session ended,
// and ask less often while the tab is hidden.
import { toast } from "./toasts.js";

const HIDDEN_POLL_MS = 30000;
const SAID = {
  403: "You are not allowed to do that.",
  404: "That no longer exists. Reload the page.",
  409: "Somebody was faster: it changed meanwhile. Reload the page to see how it stands.",
  413: "That is too large to send.",
  429: "Too many requests. Wait a moment and try again.",
  503: "Galley is busy. Try again in a moment.",
};

/** The sentence that an error page wrote for people, if the answer is one of ours. */
function sentence(xhr) {
  const type = xhr.getResponseHeader("Content-Type") || "";
  if (type.includes("text/html")) {
    const page = new DOMParser().parseFromString(xhr.responseText, "text/html");
    return page.querySelector("[data-error-lead]")?.textContent.trim() || "";
  }
  if (type.includes("application/json")) {
    try {
      return JSON.parse(xhr.responseText)?.error?.message || "";
    } catch (_) {
      return "";
    }
  }
  return "";
}

const asked = new Map(); // poller → time of the last request, by id because fragments are replaced
function isPoll(element) {
  return /\bevery\b/.test(element.getAttribute("hx-trigger") || "");
}

/** Somebody answers a dialog, types inside or has begun a text: replacing the fragment would take it from them. What was
 * begun in a dialog that was cancelled since is given up. */
function inUse(element) {
  const focused = document.activeElement;
  const typing = focused && element.contains(focused) && focused.matches("input, select, textarea");
  const begun = [...element.querySelectorAll("textarea")].some(
    (field) => field.value !== field.defaultValue && !field.closest("dialog:not([open]), [popover]:not(:popover-open)"),
  );
  return Boolean(typing || begun || element.querySelector(":popover-open, dialog[open]"));
}

document.addEventListener("htmx:beforeRequest", (event) => {
  const element = event.detail.elt;
  if (!isPoll(element)) return;
  if (inUse(element)) {
    event.preventDefault();
    return;
  }
  if (document.hidden && element.matches("[data-pauses]")) {
    event.preventDefault();
    return;
  }
  const key = element.id || event.detail.pathInfo?.requestPath;
  const now = Date.now();
  if (document.hidden && now - (asked.get(key) || 0) < HIDDEN_POLL_MS) {
    event.preventDefault();
    return;
  }
  asked.set(key, now);
});

// What paused while nobody looked asks once as soon as somebody looks again (hx-trigger "galley:shown from:document").
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) document.dispatchEvent(new CustomEvent("galley:shown"));
});

document.addEventListener("htmx:beforeSwap", (event) => {
  const login = document.body.dataset.login;
  const answered = event.detail.xhr.responseURL;
  if (!login || !answered || new URL(answered).pathname !== login || location.pathname === login) return;
  event.detail.shouldSwap = false;
  location.assign(`${login}?next=${encodeURIComponent(location.pathname + location.search)}`);
});

let lost = false;
document.addEventListener("htmx:sendError", (event) => {
  if (lost && isPoll(event.detail.elt)) return;
  lost = true;
  toast("No connection to Galley. What you typed stays in this page; try again when it is back.", "error");
});
document.addEventListener("htmx:timeout", () => toast("Galley took too long to answer. Try again.", "error"));
document.addEventListener("htmx:afterRequest", (event) => {
  if (!lost || !event.detail.xhr?.status) return;
  lost = false;
  document.querySelectorAll("#toasts .error").forEach((node) => node.remove());
  toast("Connected again.", "success");
});
document.addEventListener("htmx:responseError", (event) => {
  const { xhr } = event.detail;
  toast(
    sentence(xhr) || SAID[xhr.status] || `That did not work (${xhr.status}). Try again, or reload the page.`,
    "error",
  );
});

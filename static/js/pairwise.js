// The pairwise desk: keys, autosave, the lease, the next pair ahead, taking back. Everything starts from
// form[data-pairwise]; the form works by itself where this script does not run.
(() => {
  "use strict";
  const SAVE_AFTER_MS = 600;
  const RETRY_MS = [2000, 4000, 8000, 15000, 30000];
  const TIMEOUT_MS = 12000;
  const AHEAD_AFTER_MS = 500;
  const AWAY_AFTER_MS = 60000; // without a key, a pointer or a scroll, time stands still
  const CHOICES = { 1: "left 3", 2: "left 2", 3: "left 1", 4: "right 1", 5: "right 2", 6: "right 3", t: "tie", b: "both bad" };
  const isMac = /Mac|iPhone|iPad/.test(navigator.platform);
  class Refusal extends Error {
    constructor(status, error) {
      super(error.message || `The server refused this (${status}).`);
      this.status = status;
      this.code = error.code || "";
      this.fields = error.fields || {};
    }
  }

  /** JSON of an answer. Throws Refusal for what the server refused, TypeError where it was not reached. */
  async function post(url, values) {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), TIMEOUT_MS);
    let answer;
    try {
      answer = await fetch(url, {
        method: "POST", body: new URLSearchParams(values), signal: stop.signal,
        headers: { Accept: "application/json", "HX-Request": "true", "HX-Current-URL": location.href },
      });
    } catch (error) {
      throw new TypeError(`not reached: ${error.message}`);
    } finally {
      clearTimeout(timer);
    }
    const json = (answer.headers.get("Content-Type") || "").includes("application/json");
    if (answer.ok && json) return answer.json();
    if (answer.status === 401 || answer.redirected || (answer.status === 403 && !json)) throw new Refusal(401, { code: "signed_out" });
    if (answer.status >= 500 || answer.status === 429) throw new TypeError(`answered ${answer.status}`);
    throw new Refusal(answer.status, json ? (await answer.json()).error || {} : {});
  }

  class Pair {
    constructor(form) {
      this.form = form;
      this.data = form.dataset;
      this.revision = Number(form.elements.base_revision.value);
      this.correcting = this.data.state === "submitted";
      this.confirmed = this.serialise();
      this.active = Number(form.elements.active_seconds.value);
      this.lastSign = Date.now();
      this.failures = 0;
      this.gone = this.busy = false;
      this.ahead = this.saving = null;
      this.timers = new Set();
      this.listeners = new AbortController();
      this.attach();
      this.every(1000, () => this.tick());
      if (!this.correcting) this.every(Math.min(60000, Number(this.data.leaseMinutes) * 20000), () => this.keep());
      if (this.data.held && !this.correcting) this.after(AHEAD_AFTER_MS, () => this.fetchAhead());
      this.data.ready = "yes";
    }

    after(ms, act) { const timer = setTimeout(() => { this.timers.delete(timer); act(); }, ms); this.timers.add(timer); return timer; }
    every(ms, act) { this.timers.add(setInterval(act, ms)); }
    on(target, type, act, options = {}) { target.addEventListener(type, act, { ...options, signal: this.listeners.signal }); }
    leave() {
      this.gone = true;
      this.listeners.abort();
      for (const timer of this.timers) { clearTimeout(timer); clearInterval(timer); }
    }
    say(text) { document.querySelector("[data-said]").textContent = text; }

    values() {
      const all = new FormData(this.form);
      return { choice: all.get("choice") || "", reason: all.get("reason") || "" };
    }
    serialise() { return JSON.stringify(this.values()); }
    get dirty() { return this.serialise() !== this.confirmed; }
    whole() {
      const { csrfmiddlewaretoken, slot, token } = this.form.elements;
      return {
        ...this.values(), csrfmiddlewaretoken: csrfmiddlewaretoken.value, slot: slot.value, token: token.value,
        base_revision: this.revision, active_seconds: Math.round(this.active),
      };
    }

    attach() {
      this.on(this.form, "input", () => this.changed());
      this.on(this.form, "submit", (event) => this.submitted(event));
      this.on(document, "keydown", (event) => this.pressed(event));
      for (const type of ["keydown", "pointerdown", "pointermove", "wheel", "scroll", "touchmove"]) {
        this.on(document, type, () => { this.lastSign = Date.now(); }, { passive: true, capture: true });
      }
      this.on(window, "online", () => this.save());
      this.on(window, "pagehide", () => this.lastWords());
      this.on(window, "beforeunload", (event) => { if (this.dirty && this.failures && !this.busy) event.preventDefault(); });
      const flag = document.querySelector("[data-flag-form]");
      if (flag) this.on(flag, "submit", (event) => {
        event.preventDefault();
        this.passBy(flag.action, { meaning: "bad item", why: flag.elements.why.value });
      });
      const single = document.querySelector("[data-single-keys]");
      this.on(single, "change", () => {
        this.data.single = single.checked ? "yes" : "";
        const { csrfmiddlewaretoken } = this.whole();
        post(single.dataset.url, { csrfmiddlewaretoken, ...(single.checked ? { single_keys: "1" } : {}) })
          .catch(() => this.notice("This could not be kept; it holds for this page.", "warning"));
      });
    }

    // -- saving

    changed() {
      if (this.values().choice) this.showErrors({});
      if (!this.dirty) { this.show(this.revision ? "saved" : "nothing"); return; }
      this.show(this.correcting ? "correcting" : this.failures ? "offline" : "unsaved");
      if (this.correcting || this.failures) return;
      clearTimeout(this.saveTimer);
      this.saveTimer = this.after(SAVE_AFTER_MS, () => this.save());
    }

    async save() {
      clearTimeout(this.saveTimer);
      if (this.correcting || this.gone) return;
      if (this.saving) await this.saving;
      if (!this.dirty || this.gone) return;
      this.saving = this.sendDraft().finally(() => { this.saving = null; });
      await this.saving;
    }

    async sendDraft() {
      const sent = this.serialise();
      this.show("saving");
      try {
        const answer = await post(this.data.saveUrl, this.whole());
        this.failures = 0;
        this.revision = answer.revision;
        this.form.elements.base_revision.value = answer.revision;
        this.confirmed = sent;
        if (this.dirty) this.changed(); else this.show("saved");
        if (!answer.held) this.lostSeat();
      } catch (error) {
        this.failed(error);
      }
    }

    failed(error) {
      if (!(error instanceof Refusal)) {
        this.failures += 1;
        this.show("offline");
        this.after(RETRY_MS[Math.min(this.failures - 1, RETRY_MS.length - 1)], () => this.save());
        return;
      }
      this.failures = 0;
      if (error.status === 422) { this.showErrors(error.fields); this.show("refused"); return; }
      if (error.status === 401) {
        this.show("refused");
        this.notice("You have been signed out.", "warning", ["Sign in", `${document.body.dataset.login}?next=${encodeURIComponent(location.pathname)}`]);
        return;
      }
      this.show("refused");
      const here = `${location.origin}${this.data.saveUrl.replace(/draft\/$/, "")}`;
      this.notice(error.message, "warning", error.code === "stale_draft" || error.code === "submitted" ? ["Show what is saved", here] : null);
    }

    lastWords() {
      if (this.dirty && !this.correcting && !this.gone) navigator.sendBeacon(this.data.saveUrl, new URLSearchParams({ ...this.whole(), quiet: "1" }));
    }

    show(state) {
      const [kind, words] = {
        nothing: ["", "Nothing chosen yet"], saved: ["ok", "Saved"], saving: ["info", "Saving…"], unsaved: ["maybe", "Not saved yet"],
        offline: ["bad", "Not saved · no connection"], refused: ["bad", "Not saved"], correcting: ["maybe", "Not handed in yet"], sending: ["info", "Handing in…"],
      }[state];
      const chip = document.querySelector("[data-saved]");
      chip.className = `chip dot saved ${kind}`;
      chip.textContent = words;
    }

    lostSeat() {
      if (this.told || this.correcting) return;
      this.told = true;
      this.data.held = "";
      for (const button of this.form.querySelectorAll("[data-pass], [data-flag]")) button.hidden = true;
      this.notice("Your time with this pair ran out and somebody else has it now. Hand your choice in, and it counts as an extra one.", "warning");
    }

    notice(text, kind, link = null) {
      const box = document.getElementById("notices");
      for (const other of box.querySelectorAll("p")) if (other.textContent.startsWith(text)) return;
      const node = document.getElementById("toast-template").content.firstElementChild.cloneNode(true);
      delete node.dataset.toast;
      node.classList.add(kind);
      node.querySelector("p").textContent = text;
      if (link) {
        const anchor = document.createElement("a");
        [anchor.textContent, anchor.href] = link;
        node.querySelector("p").append(" ", anchor);
      }
      box.append(node);
      this.say(text);
    }

    // -- the lease, the time, the next pair

    async keep() {
      if (this.gone || !this.data.held) return;
      const { csrfmiddlewaretoken, slot, token } = this.whole();
      try {
        const answer = await post(this.data.keepUrl, { csrfmiddlewaretoken, slot, token });
        if (!answer.held) this.lostSeat();
        if (this.ahead) {
          const next = await post(this.ahead.keepUrl, { csrfmiddlewaretoken, slot: this.ahead.slot, token: this.ahead.token, ahead: "1" });
          if (!next.held) { this.ahead = null; this.fetchAhead(); }
        }
      } catch (_) { /* a lost connection is told by the autosave, and the next sign of life follows */ }
    }

    tick() {
      if (!document.hidden && Date.now() - this.lastSign <= AWAY_AFTER_MS) this.active += 1;
      const seconds = Math.round(this.active);
      this.form.elements.active_seconds.value = seconds;
      const two = (number) => String(number).padStart(2, "0");
      const hours = Math.floor(seconds / 3600), minutes = Math.floor(seconds / 60);
      document.querySelector("[data-active]").textContent = hours
        ? `${hours}:${two(minutes % 60)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
    }

    async fetchAhead() {
      if (this.gone || this.ahead || this.correcting) return;
      try {
        const answer = await fetch(`${this.data.nextUrl}?ahead=${this.data.item}`, { headers: { "HX-Request": "true" } });
        if (!answer.ok || answer.redirected || this.gone) return;
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const form = page.querySelector("form[data-pairwise]");
        if (!form) return; // nothing left; asked again when this one is handed in
        this.ahead = { page, slot: form.elements.slot.value, token: form.elements.token.value, keepUrl: form.dataset.keepUrl };
        this.data.ahead = "yes";
      } catch (_) { /* without a connection the next one is loaded when it is needed */ }
    }

    /** To the next pair: at once where it was fetched ahead. */
    goOn(url, message, handedIn = false) {
      this.busy = true;
      this.leave();
      const { ahead } = this;
      if (!ahead || url !== this.data.nextUrl) { location.assign(url); return; }
      const bar = document.querySelector("[data-day] progress");
      const done = bar.value + (handedIn ? 1 : 0), whole = bar.max;
      const more = document.querySelector("[data-day] b").textContent.trim().endsWith("+") ? "+" : "";
      const marked = document.querySelector("[data-differences]").checked;
      const main = document.getElementById("main");
      main.replaceChildren(...document.importNode(ahead.page.getElementById("main"), true).childNodes);
      document.title = ahead.page.title;
      history.replaceState(null, "", this.data.nextUrl);
      document.querySelector("[data-differences]").checked = marked;
      Object.assign(document.querySelector("[data-day] progress"), { max: whole, value: done });
      document.querySelector("[data-day] b").textContent = `${done.toLocaleString("en-US")} of ${whole.toLocaleString("en-US")}${more}`;
      if (window.htmx) window.htmx.process(main);
      scrollTo(0, 0);
      main.focus({ preventScroll: true });
      start();
      current.say(`${message} Next: ${document.querySelector("h1").textContent}`);
      current.keep();
    }

    // -- handing in, passing by

    async submitted(event) {
      const by = event.submitter;
      if (by?.matches("noscript *")) return;
      event.preventDefault();
      if (this.busy) return;
      if (by?.matches("[data-pass]")) { await this.passBy(by.formAction, { meaning: by.value }); return; }
      await this.working(async () => {
        if (this.saving) await this.saving;
        clearTimeout(this.saveTimer);
        this.show("sending");
        try {
          const answer = await post(this.form.action, this.whole());
          this.confirmed = this.serialise();
          const offer = answer.undo && { message: answer.message, url: answer.undo.url, until: Date.now() + 1000 * answer.undo.seconds };
          if (offer) offers.set(offer); // for where a whole page is loaded
          this.goOn(answer.next, answer.message, true);
          if (offer && this !== current) offerUndo(offers.take());
        } catch (error) {
          if (error instanceof Refusal && error.status === 422) {
            this.showErrors(error.fields);
            this.say(Object.values(error.fields).join(" "));
            this.show(this.dirty ? "unsaved" : this.revision ? "saved" : "nothing");
            return;
          }
          this.failed(error);
          if (!(error instanceof Refusal)) this.notice("No connection to Galley, so this is not handed in yet. Try again when it is back.", "error");
        }
      });
    }

    async passBy(url, values) {
      if (this.busy) return;
      await this.working(async () => {
        if (this.dirty) await this.save();
        const { choice, reason, ...common } = this.whole();
        try {
          const answer = await post(url, { ...common, ...values });
          const flag = document.getElementById("flag");
          if (flag?.matches(":popover-open")) flag.hidePopover();
          if (window.galleyToast) window.galleyToast(answer.message, "info");
          this.goOn(answer.next, answer.message);
        } catch (error) {
          this.notice(error instanceof Refusal ? error.message : "No connection to Galley. Try again when it is back.", "error");
        }
      });
    }

    async working(act) {
      this.busy = true;
      this.form.setAttribute("aria-busy", "true");
      try { await act(); } finally { if (!this.gone) { this.busy = false; this.form.removeAttribute("aria-busy"); } }
    }

    showErrors(fields) {
      const list = this.form.querySelector("[data-error]");
      list.replaceChildren(...Object.values(fields).map((text) => Object.assign(document.createElement("li"), { textContent: text })));
      this.form.querySelector("[data-choices]").classList.toggle("wrong", Boolean(list.children.length));
    }

    // -- keys

    choose(value) {
      const input = [...this.form.querySelectorAll("[name=choice]")].find((one) => one.value === value);
      input.checked = true;
      if (this.form.querySelector("[data-choices]").contains(document.activeElement)) input.focus({ preventScroll: true });
      this.say(input.closest("label").querySelector(".point-words").textContent.trim());
      this.changed();
    }

    click(selector) { const button = this.form.querySelector(selector); if (button && !button.hidden) button.click(); }

    pressed(event) {
      if (event.isComposing || event.defaultPrevented || this.gone) return;
      const command = event.ctrlKey || event.metaKey;
      const modal = document.querySelector("dialog:modal, dialog:popover-open");
      if (command && event.key === "Enter") {
        event.preventDefault();
        if (modal) modal.querySelector("form .btn.pri")?.click();
        else this.form.requestSubmit(this.form.querySelector("[data-submit]"));
        return;
      }
      if (modal) return;
      if (command && !event.altKey && event.key.toLowerCase() === "s") { event.preventDefault(); this.save(); return; }
      if (command || event.getModifierState("AltGraph")) return;
      if (event.key === "Enter" && event.target.matches?.("[data-pairwise] input")) { event.preventDefault(); return; } // would hand it in
      let typing = event.target.closest?.("textarea, select, input:not([type=radio], [type=checkbox])");
      if (typing && !typing.checkVisibility()) { typing.blur(); typing = null; }
      if (event.key === "Escape" && typing) { typing.blur(); document.getElementById("main").focus({ preventScroll: true }); return; }
      if (!event.altKey && (typing || !this.data.single) && !(event.key === "?" && !typing)) return;
      let key = event.key.toLowerCase();
      if (/^(Digit|Numpad)\d$/.test(event.code) && !/^\d$/.test(key)) key = event.code.slice(-1);
      if (event.altKey && isMac && /^Key[A-Z]$/.test(event.code)) key = event.code.slice(-1).toLowerCase();
      if (event.shiftKey && key !== "?" && !/^\d$/.test(key)) return;
      const differences = this.form.querySelector("[data-differences]");
      const acts = {
        ...Object.fromEntries(Object.entries(CHOICES).map(([name, value]) => [name, () => this.choose(value)])),
        d: () => { differences.checked = !differences.checked; this.say(`Differences ${differences.checked ? "marked" : "not marked"}`); },
        c: () => this.form.elements.reason.focus(), a: () => document.getElementById("source").focus(),
        l: () => this.click("[data-pass][value=later]"), n: () => this.click("[data-pass][value='not for me']"), f: () => this.click("[data-flag]"),
        u: () => document.querySelector("[data-undo-button]")?.click(), "?": () => document.getElementById("keys").showModal(),
      };
      if (!(key in acts)) return;
      event.preventDefault();
      acts[key]();
    }
  }

  // ---------------------------------------------------------------- undo

  const KEY_OFFER = "galley-pairwise-undo";
  const offers = { // in this tab's storage, so that the offer is there after a page was loaded, too
    set(offer) { try { sessionStorage.setItem(KEY_OFFER, JSON.stringify(offer)); } catch (_) { /* then only on this page */ } },
    take() {
      try {
        const offer = JSON.parse(sessionStorage.getItem(KEY_OFFER));
        sessionStorage.removeItem(KEY_OFFER);
        return offer;
      } catch (_) { return null; }
    },
  };

  function offerUndo(offer) {
    const seconds = Math.floor((offer.until - Date.now()) / 1000);
    if (seconds < 1) return;
    const token = document.querySelector("form [name=csrfmiddlewaretoken]").value;
    window.galleyUndo({ url: offer.url, message: offer.message, seconds, key: "U", token });
  }

  let current = null;
  function start() {
    const form = document.querySelector("form[data-pairwise]");
    current = form ? new Pair(form) : null;
  }
  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  document.addEventListener("DOMContentLoaded", () => {
    start();
    const offer = offers.take();
    if (offer) offerUndo(offer);
  });
  document.addEventListener("keydown", (event) => { // where no pair is left, the last one can still be taken back
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey && !event.target.closest?.("input, textarea, select");
    if (!current && plain && event.key.toLowerCase() === "u") document.querySelector("[data-undo-button]")?.click();
  });
})();

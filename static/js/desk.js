// The review desk: autosave to the server and to this browser, live differences, keys, the lease, the next item ahead.
// Everything starts from form[data-desk]; the form works by itself where this script does not run. Parts of the desk stand
// in files of their own: window.galleyDeskParts holds functions (desk) → part, where a part may have
// changed(), filled(answers) and actions {name: act}.
(() => {
  "use strict";
  const SAVE_AFTER_MS = 700; // quiet time before a save
  const SAVE_AT_LATEST_MS = 1800; // while somebody types on and on
  const TIMEOUT_MS = 12000;
  const RETRY_MS = [2000, 4000, 8000, 15000, 30000];
  const AHEAD_AFTER_MS = 1500;
  const AWAY_AFTER_MS = 60000; // without a key, a pointer or a scroll, time stands still
  const LOCAL_KEPT_MS = 30 * 24 * 3600 * 1000;

  // ---------------------------------------------------------------- this browser's storage (may be switched off or full)

  const store = {
    get(key) { try { return JSON.parse(localStorage.getItem(key)); } catch (_) { return null; } },
    set(key, value) { try { localStorage.setItem(key, JSON.stringify(value)); return true; } catch (_) { return false; } },
    drop(key) { try { localStorage.removeItem(key); } catch (_) { /* nothing to drop then */ } },
    sweep() {
      try {
        for (const key of Object.keys(localStorage)) {
          if (!key.startsWith("galley-desk:")) continue;
          const kept = this.get(key);
          if (!kept || Date.now() - (kept.at || 0) > LOCAL_KEPT_MS) localStorage.removeItem(key);
        }
      } catch (_) { /* nothing to sweep then */ }
    },
  };

  // ---------------------------------------------------------------- talking to the server

  class Refusal extends Error {
    constructor(status, error) {
      super(error.message || "");
      this.status = status;
      this.code = error.code || "";
      this.fields = error.fields || {};
      this.current = error.current || null;
    }
  }

  /** JSON of an answer. Throws Refusal for what the server refused, TypeError (as fetch does) where it was not reached. */
  async function post(url, values, { keepalive = false } = {}) {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), TIMEOUT_MS);
    let answer;
    try {
      answer = await fetch(url, {
        method: "POST", body: new URLSearchParams(values), keepalive, signal: stop.signal,
        headers: { Accept: "application/json", "HX-Request": "true", "HX-Current-URL": location.href },
      });
    } catch (error) {
      throw new TypeError(`not reached: ${error.message}`);
    } finally {
      clearTimeout(timer);
    }
    const json = (answer.headers.get("Content-Type") || "").includes("application/json");
    const body = json ? await answer.json() : {};
    if (answer.ok && json) return body;
    // 403 without words of ours: the form's token is of a session that ended
    if (answer.status === 401 || answer.redirected || (answer.status === 403 && !json)) throw new Refusal(401, { code: "signed_out" });
    if (answer.status >= 500 || answer.status === 429) throw new TypeError(`answered ${answer.status}`);
    throw new Refusal(answer.status, body.error || {});
  }

  // ---------------------------------------------------------------- the desk

  window.galleyDeskPost = post;

  class Desk {
    constructor(form) {
      this.form = form;
      this.data = form.dataset;
      this.key = `galley-desk:${this.data.user}:${this.data.item}`;
      this.proof = document.getElementById("proof").dataset.proof;
      this.edit = form.elements.edited_text;
      this.comment = form.elements.comment;
      this.chip = document.querySelector("[data-saved]");
      this.rows = [...form.querySelectorAll("[data-scale]")];
      this.revision = Number(form.elements.base_revision.value);
      this.correcting = this.data.state === "submitted";
      this.active = Number(form.elements.active_seconds.value);
      this.lastSign = Date.now();
      this.failures = 0;
      this.unanswered = []; // sent, and nobody knows whether it arrived
      this.firstChange = 0;
      this.saving = null;
      this.busy = false;
      this.gone = false;
      this.ahead = null;
      this.timers = new Set();
      this.listeners = new AbortController();
      this.keys = new window.GalleyKeys(JSON.parse(this.data.keys), Boolean(this.data.single));
      this.changes = new window.GalleyChanges(this);
      this.parts = [this.changes, ...(window.galleyDeskParts || []).map((make) => make(this))];
      this.confirmed = this.serialise(); // what the server has
      this.attach();
      this.mark(this.rows.find((row) => !this.answered(row)) || this.rows[0]);
      this.showDifference();
      this.recover();
      if (!this.correcting) this.every(this.keepEvery(), () => this.keep());
      this.every(1000, () => this.tick());
      if (this.data.held && !this.correcting) this.after(AHEAD_AFTER_MS, () => this.fetchAhead());
      this.data.ready = "yes";
    }

    // -- small things

    after(ms, act) { const timer = setTimeout(() => { this.timers.delete(timer); act(); }, ms); this.timers.add(timer); return timer; }
    every(ms, act) { const timer = setInterval(act, ms); this.timers.add(timer); }
    cancel(timer) { clearTimeout(timer); this.timers.delete(timer); }
    on(target, type, act, options = {}) { target.addEventListener(type, act, { ...options, signal: this.listeners.signal }); }
    find(selector) { return document.querySelector(selector); }
    leave() {
      this.gone = true;
      for (const part of this.parts) part.leave?.();
      this.listeners.abort();
      for (const timer of this.timers) { clearTimeout(timer); clearInterval(timer); }
    }
    say(text) { const node = this.find("[data-said]"); if (node) node.textContent = text; }
    keepEvery() { return Math.min(60000, Number(this.data.leaseMinutes) * 20000); }

    /** The answers alone, in a stable form. */
    values() {
      const names = ["stars", "verdict", "overall_from_ratings", "edited_text", "comment", "wants_retrain", "wants_refine", "marks", "support", "rubric"];
      const all = new FormData(this.form);
      const values = {};
      for (const name of names) values[name] = all.get(name) ?? "";
      for (const [name, value] of all) if (name.startsWith("rating-")) values[name] = value;
      return values;
    }
    serialise() { return JSON.stringify(Object.entries(this.values()).sort()); }
    whole() {
      return {
        ...this.values(), csrfmiddlewaretoken: this.form.elements.csrfmiddlewaretoken.value,
        slot: this.form.elements.slot.value, token: this.form.elements.token.value,
        base_revision: this.revision, active_seconds: Math.round(this.active),
        ...(this.form.elements.back ? { back: this.form.elements.back.value } : {}),
      };
    }
    get dirty() { return this.serialise() !== this.confirmed; }

    attach() {
      this.on(this.form, "input", () => this.changed());
      this.on(this.form, "change", () => this.changed());
      this.on(this.form, "submit", (event) => this.submitted(event));
      this.on(this.form, "focusin", (event) => {
        const row = event.target.closest("[data-scale]");
        if (row) this.mark(row);
      });
      const undo = this.find("[data-undo]");
      this.on(undo, "click", () => {
        this.edit.focus();
        this.edit.select();
        // as if typed, so that the browser's own undo brings it back
        if (!document.execCommand("insertText", false, this.proof)) { this.edit.value = this.proof; this.changed(); }
      });
      this.on(document, "keydown", (event) => this.pressed(event));
      for (const type of ["keydown", "pointerdown", "pointermove", "wheel", "scroll", "touchmove"]) {
        this.on(document, type, () => { this.lastSign = Date.now(); }, { passive: true, capture: true });
      }
      this.on(window, "online", () => this.save());
      this.on(window, "offline", () => { if (this.dirty) this.show("offline"); });
      this.on(window, "pagehide", () => this.lastWords());
      this.on(document, "visibilitychange", () => { if (document.hidden && this.dirty) this.save(); });
      this.on(window, "beforeunload", (event) => { if (this.dirty && this.failures && !this.busy) event.preventDefault(); });
      const flag = this.find("[data-flag-form]");
      if (flag) {
        this.on(flag, "submit", (event) => {
          event.preventDefault();
          this.passBy(flag.action, { meaning: "bad item", reason: flag.elements.reason.value });
        });
      }
      const single = this.find("[data-single-keys]");
      this.on(single, "change", async () => {
        this.keys.single = single.checked;
        try { await post(single.dataset.url, { csrfmiddlewaretoken: this.form.elements.csrfmiddlewaretoken.value, single_keys: single.checked ? "1" : "" }); }
        catch (_) { this.notice("Kept for this page only: no connection to Galley.", "warning"); }
      });
      for (const link of document.querySelectorAll("[data-leave]")) {
        this.on(link, "click", (event) => { event.preventDefault(); this.leaveFor(() => location.assign(link.href)); });
      }
      const recent = this.find("[data-recent-open]");
      this.on(recent, "click", (event) => { if (!event.ctrlKey && !event.metaKey) { event.preventDefault(); this.openRecent(recent.href); } });
    }

    // -- what is typed

    changed() {
      if (this.gone) return;
      for (const part of this.parts) part.changed?.();
      this.showDifference();
      this.unmarkAnswered();
      if (!this.dirty) { store.drop(this.key); this.show(this.revision ? "saved" : "nothing"); return; }
      const kept = store.set(this.key, { answers: this.values(), base: this.revision, at: Date.now() });
      if (this.correcting) { this.show("correcting"); return; }
      this.show(this.failures ? "offline" : kept ? "unsaved" : "unkept");
      if (!this.failures) this.saveSoon();
    }

    saveSoon() {
      const now = Date.now();
      if (!this.firstChange) this.firstChange = now;
      this.cancel(this.saveTimer);
      const left = Math.max(0, this.firstChange + SAVE_AT_LATEST_MS - now);
      this.saveTimer = this.after(Math.min(SAVE_AFTER_MS, left), () => this.save());
    }

    showDifference() {
      this.changes.show();
      this.find("[data-undo]").hidden = this.edit.value === this.proof;
    }

    unmarkAnswered() {
      for (const row of this.rows) {
        if (this.answered(row)) this.showError(row.dataset.scale.replace(/^rating-/, ""), "");
      }
      if (this.edit.value.trim()) this.showError("edited_text", "");
    }

    // -- saving

    async save({ overwrite = false } = {}) {
      this.cancel(this.saveTimer);
      if (this.correcting || this.gone) return;
      if (this.saving) { await this.saving; if (!this.dirty || this.gone) return; }
      if (!this.dirty && !overwrite) return;
      this.saving = this.sendDraft(overwrite).finally(() => { this.saving = null; });
      await this.saving;
    }

    async sendDraft(overwrite) {
      const sent = this.serialise();
      this.firstChange = 0;
      this.show("saving");
      try {
        const answer = await post(this.data.saveUrl, { ...this.whole(), ...(overwrite ? { overwrite: "1" } : {}) });
        this.failures = 0;
        this.unanswered = [];
        this.took(answer.revision, sent);
        if (!answer.held) this.lostSeat();
      } catch (error) {
        this.failed(error, sent);
      }
    }

    /** The server has `sent` as this revision. */
    took(revision, sent) {
      this.revision = revision;
      this.form.elements.base_revision.value = revision;
      this.confirmed = sent;
      if (this.dirty) { this.changed(); return; }
      store.drop(this.key);
      this.show("saved");
    }

    failed(error, sent) {
      if (!(error instanceof Refusal)) {
        this.failures += 1;
        this.unanswered.push(sent);
        this.show("offline");
        this.tryAgainLater();
        return;
      }
      this.failures = 0;
      if (error.code === "stale_draft") { this.stale(error, sent); return; }
      if (error.code === "submitted") { this.alreadySubmitted(error); return; }
      if (error.status === 401) { this.signedOut(); return; }
      if (error.status === 422) { this.showErrors(error.fields, false); this.show("refused"); return; }
      this.show("refused");
      this.notice(error.message || `The server refused to save this (${error.status}). What you typed is kept in this browser.`, "error");
    }

    tryAgainLater() {
      const wait = RETRY_MS[Math.min(this.failures - 1, RETRY_MS.length - 1)];
      this.cancel(this.retryTimer);
      this.retryTimer = this.after(wait, () => this.save());
    }

    /** The page goes away: one more try that outlives it. The browser's copy stays until the server has confirmed. */
    lastWords() {
      if (!this.dirty || this.correcting || this.gone) return;
      const body = new URLSearchParams({ ...this.whole(), quiet: "1" });
      navigator.sendBeacon(this.data.saveUrl, body);
    }

    show(state) {
      const said = {
        nothing: ["", "Nothing typed yet"], saved: ["ok", "Saved"], saving: ["info", "Saving…"], unsaved: ["maybe", "Not saved yet"],
        unkept: ["bad", "Not saved yet"], offline: ["bad", "Not saved · kept in this browser"], refused: ["bad", "Not saved"],
        stale: ["bad", "Not saved · changed elsewhere"], out: ["bad", "Not saved · signed out"], correcting: ["maybe", "Not handed in yet"],
        sending: ["info", "Handing in…"],
      }[this.correcting && state === "saved" ? "correcting" : state];
      this.chip.className = `chip dot saved ${said[0]}`;
      if (this.chip.textContent !== said[1]) this.chip.textContent = said[1];
      if (this.chip.dataset.state !== state && ["offline", "refused", "stale", "out"].includes(state)) this.say(said[1]);
      this.chip.dataset.state = state;
    }

    // -- after a crash, a lost connection, in a stale tab

    recover() {
      const kept = store.get(this.key);
      if (!kept) return;
      const mine = JSON.stringify(Object.entries(kept.answers).sort());
      if (mine === this.confirmed) { store.drop(this.key); return; }
      if (kept.base === this.revision || this.correcting) {
        this.fill(kept.answers);
        this.changed();
        this.notice("What you had typed here before it could be saved is back.", "success");
        return;
      }
      const server = this.values();
      this.choose({
        text: "This browser keeps something that was never saved, and a newer draft was saved from elsewhere since.",
        theirs: server, mine: kept.answers,
        take: () => { store.drop(this.key); this.show("saved"); },
        keep: () => { this.fill(kept.answers); this.changed(); },
      });
    }

    fill(answers) {
      for (const row of this.rows) {
        const name = row.dataset.scale;
        for (const input of row.querySelectorAll("input")) input.checked = String(answers[name] ?? "") === input.value;
      }
      for (const name of ["wants_retrain", "wants_refine"]) this.form.elements[name].checked = Boolean(answers[name]);
      for (const name of ["marks", "support"]) this.form.elements[name].value = answers[name] || "[]";
      this.edit.value = answers.edited_text ?? "";
      this.comment.value = answers.comment ?? "";
      for (const part of this.parts) part.filled?.(answers);
    }

    /** The server's JSON of a review in the form's own names. */
    named(current) {
      const values = {
        stars: current.stars ?? "", verdict: current.verdict, overall_from_ratings: current.overall_from_ratings ? "1" : "", edited_text: current.edited_text, comment: current.comment,
        wants_retrain: current.wants_retrain ? "1" : "", wants_refine: current.wants_refine ? "1" : "",
        marks: JSON.stringify(current.marks), support: JSON.stringify(current.support), rubric: this.form.elements.rubric.value,
      };
      for (const [name, value] of Object.entries(current.ratings)) values[`rating-${name}`] = String(value);
      values.stars = String(values.stars);
      return values;
    }

    stale(error, sent) {
      const theirs = this.named(error.current);
      const own = [sent, ...this.unanswered].find((one) => alike(theirs, JSON.parse(one)));
      if (own) { // our own save, whose answer got lost on the way
        this.unanswered = [];
        this.took(error.current.revision, own);
        return;
      }
      this.show("stale");
      this.choose({
        text: "This review was changed in another tab or window. Choose which one goes on; nothing is thrown away before you do.",
        theirs, mine: this.values(),
        take: () => {
          this.fill(theirs);
          this.took(error.current.revision, this.serialise());
          this.showDifference();
        },
        keep: () => {
          this.revision = error.current.revision;
          if (this.correcting) this.form.requestSubmit(this.form.querySelector("[data-submit]"));
          else this.save({ overwrite: true });
        },
      });
    }

    choose({ text, theirs, mine, take, keep }) {
      const dialog = this.find("#stale");
      if (dialog.open) return;
      this.find("[data-stale-text]").textContent = text;
      for (const [name, answers] of [["theirs", theirs], ["mine", mine]]) {
        this.find(`[data-stale-${name}]`).textContent = answers.edited_text;
        this.find(`[data-stale-${name}-note]`).textContent = this.inWords(answers);
      }
      const end = (act) => { dialog.close(); act(); };
      this.find("[data-stale-take]").onclick = () => end(take);
      this.find("[data-stale-keep]").onclick = () => end(keep);
      dialog.oncancel = (event) => event.preventDefault(); // a choice has to be made
      dialog.showModal();
    }

    inWords(answers) {
      const said = this.rows
        .map((row) => [row.querySelector("input").name === "stars" ? "stars" : row.dataset.scale.replace(/^rating-/, ""), answers[row.dataset.scale]])
        .filter(([, value]) => value)
        .map(([name, value]) => `${name} ${value}`);
      const marks = JSON.parse(answers.marks || "[]").length;
      if (marks) said.push(marks === 1 ? "1 error marked" : `${marks} errors marked`);
      if (answers.comment) said.push(`“${answers.comment}”`);
      return said.join(" · ");
    }

    alreadySubmitted(error) {
      const theirs = this.named(error.current);
      if (alike(theirs, this.values())) { store.drop(this.key); this.goOn(); return; }
      this.show("stale");
      this.choose({
        text: "You have handed in this review already, from another tab, with other answers.",
        theirs, mine: this.values(),
        take: () => { store.drop(this.key); this.confirmed = this.serialise(); this.goOn(); },
        keep: async () => {
          this.revision = error.current.revision;
          try { await post(this.data.correctUrl, this.whole()); store.drop(this.key); this.confirmed = this.serialise(); this.goOn(); }
          catch (again) { this.failed(again, this.serialise()); }
        },
      });
    }

    signedOut() {
      this.show("out");
      this.notice("You have been signed out. What you typed is kept in this browser and comes back when you have signed in.", "warning", [
        ["Sign in", `${document.body.dataset.login}?next=${encodeURIComponent(location.pathname)}`],
      ]);
    }

    lostSeat() {
      if (this.told || this.correcting) return;
      this.told = true;
      this.data.held = "";
      for (const button of this.form.querySelectorAll("[data-pass], [data-flag]")) button.hidden = true;
      this.notice("Your time with this item ran out and somebody else has it now. What you type is still kept; hand it in, and it counts as an extra review.", "warning");
    }

    notice(text, kind, links = []) {
      const template = document.getElementById("toast-template");
      const node = template.content.firstElementChild.cloneNode(true);
      delete node.dataset.toast;
      node.classList.add(kind);
      node.querySelector("p").textContent = text;
      const picture = node.querySelector("use");
      const icon = { success: "ok", error: "error", warning: "warning" }[kind];
      picture.setAttribute("href", picture.getAttribute("href").replace(/#info$/, `#${icon}`));
      for (const [label, url] of links) {
        const link = document.createElement("a");
        link.href = url;
        link.textContent = label;
        node.querySelector("p").append(" ", link);
      }
      const box = document.getElementById("notices");
      for (const other of box.querySelectorAll("p")) if (other.textContent === node.querySelector("p").textContent) return;
      box.append(node);
      this.say(text);
    }

    // -- the lease, the time, the next item

    async keep() {
      if (this.gone || !this.data.held) return;
      const common = { csrfmiddlewaretoken: this.form.elements.csrfmiddlewaretoken.value };
      try {
        const answer = await post(this.data.keepUrl, { ...common, slot: this.form.elements.slot.value, token: this.form.elements.token.value });
        if (!answer.held) this.lostSeat();
        if (this.ahead) {
          const next = await post(this.ahead.keepUrl, { ...common, slot: this.ahead.slot, token: this.ahead.token, ahead: "1" });
          if (!next.held) { this.ahead = null; delete this.data.ahead; this.fetchAhead(); }
        }
      } catch (error) {
        if (error instanceof Refusal && error.status === 401) this.signedOut();
        // a lost connection is told by the autosave, and the next sign of life follows
      }
    }

    tick() {
      const away = Date.now() - this.lastSign > AWAY_AFTER_MS;
      if (!document.hidden && !away && !this.gone) this.active += 1;
      this.form.elements.active_seconds.value = Math.round(this.active);
      const node = this.find("[data-active]");
      const minutes = Math.floor(this.active / 60), hours = Math.floor(minutes / 60);
      const two = (number) => String(Math.floor(number)).padStart(2, "0");
      node.textContent = hours ? `${hours}:${two(minutes % 60)}:${two(this.active % 60)}` : `${minutes}:${two(this.active % 60)}`;
    }

    async fetchAhead() {
      if (this.gone || this.ahead || this.correcting) return;
      try {
        const answer = await fetch(`${this.data.nextUrl}?ahead=${this.data.item}`, { headers: { "HX-Request": "true" } });
        if (!answer.ok || answer.redirected || this.gone) return;
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const form = page.querySelector("form[data-desk]");
        if (!form) return; // nothing left; asked again when this one is handed in
        this.data.ahead = "yes";
        const [shown, fresh] = [document, page].map((one) => one.querySelector(".nav-links"));
        if (shown && fresh && !shown.contains(document.activeElement)) shown.replaceWith(document.importNode(fresh, true));
        this.ahead = { page, slot: form.elements.slot.value, token: form.elements.token.value, keepUrl: form.dataset.keepUrl };
      } catch (_) { /* without a connection the next item is loaded when it is needed */ }
    }

    /** To the next item: at once where it was fetched ahead. */
    goOn({ next: url = this.data.nextUrl, message = "", undo = null } = {}, handedIn = false) {
      const { ahead } = this;
      const item = this.data.item, token = this.form.elements.csrfmiddlewaretoken.value;
      const progress = document.querySelector("[data-day] progress");
      const done = progress.value + (handedIn ? 1 : 0), whole = progress.max;
      this.busy = true;
      if (!ahead || url !== this.data.nextUrl) { this.leave(); location.assign(undo ? `${url}?undo=${item}` : url); return; }
      this.leave();
      const main = document.getElementById("main");
      main.replaceChildren(...document.importNode(ahead.page.getElementById("main"), true).childNodes);
      document.title = ahead.page.title;
      history.replaceState(null, "", this.data.nextUrl);
      countDay(done, whole);
      if (window.htmx) window.htmx.process(main);
      scrollTo(0, 0);
      main.focus({ preventScroll: true });
      start();
      performance.mark("galley:next-shown");
      if (!current) return;
      if (undo) window.galleyUndo({ ...undo, message, token, key: current.hint("undo") });
      current.say(`${message} Next: ${document.querySelector("h1").textContent}`);
      current.keep();
    }

    // -- leaving for another page, with what is typed saved

    async leaveFor(go, stay = () => {}) {
      if (this.busy) return;
      if (this.dirty) await this.save();
      if (this.dirty && !this.correcting) { // a correction is kept in this browser until it is handed in
        if (this.failures) this.notice("No connection to Galley. What you typed is kept in this browser; try again when it is back.", "error");
        stay();
        return;
      }
      this.leave();
      go();
    }

    async openRecent(url) {
      const dialog = this.find("#recent");
      try {
        const answer = await fetch(url, { headers: { "HX-Request": "true" } });
        if (!answer.ok || answer.redirected) { this.leaveFor(() => location.assign(url)); return; }
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        this.find("#recent [data-recent-list]").replaceWith(document.importNode(page.querySelector("[data-recent-list]"), true));
      } catch (_) { this.notice("No connection to Galley, so your earlier reviews cannot be shown.", "error"); return; }
      const links = [...dialog.querySelectorAll("a")];
      for (const link of links) link.addEventListener("click", (event) => {
        if (event.ctrlKey || event.metaKey) return;
        event.preventDefault();
        dialog.close();
        this.leaveFor(() => location.assign(link.href));
      });
      dialog.onkeydown = (event) => {
        const step = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1 }[event.key];
        if (!step || !links.length) return;
        event.preventDefault();
        const at = links.indexOf(document.activeElement);
        links[Math.max(0, Math.min(links.length - 1, at + step))].focus();
      };
      if (!dialog.open) dialog.showModal();
      (links.find((link) => link.getAttribute("aria-current")) || links[0])?.focus();
    }

    // -- handing in, passing by

    async submitted(event) {
      const by = event.submitter;
      if (by?.formAction && by.matches("noscript *")) return;
      event.preventDefault();
      if (this.busy) return;
      if (by?.matches("[data-pass]")) { await this.passBy(by.formAction, { meaning: by.value }); return; }
      await this.working(async () => {
        if (this.saving) await this.saving;
        this.cancel(this.saveTimer);
        this.show("sending");
        performance.mark("galley:submit");
        const sent = this.serialise();
        try {
          const answer = await post(this.form.action, this.whole());
          performance.mark("galley:answered");
          this.confirmed = sent;
          store.drop(this.key);
          this.goOn(answer, true);
        } catch (error) {
          this.refusedToHandIn(error, sent);
        }
      });
    }

    refusedToHandIn(error, sent) {
      if (!(error instanceof Refusal)) {
        this.failures += 1;
        this.show("offline");
        this.notice("No connection to Galley, so this is not handed in yet. What you typed is kept in this browser; try again when it is back.", "error");
        this.tryAgainLater();
        return;
      }
      if (error.status === 422) {
        this.showErrors(error.fields, true);
        this.say(Object.values(error.fields).join(" "));
        this.show(this.dirty ? "unsaved" : this.revision ? "saved" : "nothing");
        if (this.dirty && !this.correcting) this.saveSoon();
        return;
      }
      this.failed(error, sent);
    }

    async passBy(url, values) {
      if (this.busy) return;
      await this.working(async () => {
        if (this.dirty) await this.save();
        if (this.dirty && this.failures) { this.notice("No connection to Galley. What you typed is kept in this browser.", "error"); return; }
        if (this.find("#stale").open) return;
        const { csrfmiddlewaretoken, slot, token } = this.whole();
        try {
          const answer = await post(url, { csrfmiddlewaretoken, slot, token, ...values });
          this.find("#flag")?.matches(":popover-open") && this.find("#flag").hidePopover();
          this.goOn(answer);
        } catch (error) {
          const text = error instanceof Refusal ? error.message : "No connection to Galley. Try again when it is back.";
          this.notice(text || "That did not work.", "error");
        }
      });
    }

    async working(act) {
      this.busy = true;
      this.form.setAttribute("aria-busy", "true");
      try { await act(); } finally { if (!this.gone) { this.busy = false; this.form.removeAttribute("aria-busy"); } }
    }

    showErrors(fields, goThere) {
      let first = null;
      for (const [name, text] of Object.entries(fields)) first = this.showError(name, text) || first;
      if (!goThere) return;
      const row = this.rows.find((one) => one.dataset.scale.replace(/^rating-/, "") in fields);
      if (row) { this.mark(row); row.scrollIntoView({ block: "nearest" }); this.focusRow(row); }
      else if ("edited_text" in fields) this.edit.focus();
      else if ("comment" in fields) this.comment.focus();
      const rest = Object.keys(fields).filter((name) => !this.place(name));
      if (rest.length) this.notice(rest.map((name) => fields[name]).join(" "), "error");
    }

    place(name) {
      if (name === "edited_text") return this.form.querySelector("[data-field=edited_text]");
      if (name === "marks" || name === "support") return this.form.querySelector("[data-field=marks]");
      if (name === "verdict" || name === "stars") return this.form.querySelector(".overall");
      return this.rows.find((row) => row.dataset.scale === `rating-${name}`) || null;
    }

    showError(name, text) {
      const place = this.place(name);
      if (!place) return null;
      let list = place.querySelector(".errorlist");
      if (!list && text) { list = document.createElement("ul"); list.className = "errorlist"; place.append(list); }
      if (!list) return place;
      list.querySelector(`[data-name="${name}"]`)?.remove();
      for (const old of list.querySelectorAll("li:not([data-name])")) old.remove();
      if (text) {
        const line = document.createElement("li");
        line.dataset.name = name;
        line.textContent = text;
        list.append(line);
      }
      place.classList.toggle("wrong", Boolean(list.children.length));
      return text ? place : null;
    }

    // -- keys

    ratingRows() { return this.rows.filter((row) => row.dataset.scale.startsWith("rating-")); }

    answered(row) { return Boolean(row.querySelector("input:checked")); }

    mark(row) {
      if (!row) return;
      this.here = row;
      for (const other of this.rows) other.classList.toggle("here", other === row);
    }

    focusRow(row) { (row.querySelector("input:checked") || row.querySelector("input")).focus({ preventScroll: true }); }

    step(by) {
      const at = this.rows.indexOf(this.here);
      const row = this.rows[Math.max(0, Math.min(this.rows.length - 1, at + by))];
      const follow = this.form.contains(document.activeElement) && document.activeElement.closest("[data-scale]");
      this.mark(row);
      if (follow) this.focusRow(row);
    }

    answer(digit) {
      const inputs = [...this.here.querySelectorAll("input")];
      const input = inputs[digit - 1];
      if (!input) return;
      const rated = this.ratingRows().every((row) => this.answered(row));
      input.checked = true;
      input.dispatchEvent(new Event("change", { bubbles: true }));
      const last = !rated && this.ratingRows().every((row) => this.answered(row));
      this.say(`${this.nameOf(this.here)}: ${input.closest("label").textContent.trim()}`);
      const at = this.rows.indexOf(this.here);
      const later = this.rows.slice(at + 1).find((row) => !this.answered(row));
      const open = later || this.rows.find((row) => !this.answered(row));
      const next = open || (last ? this.rows.find((row) => row.dataset.scale === "verdict") : this.rows[at]);
      const follow = document.activeElement?.closest?.("[data-scale]");
      this.mark(next);
      if (last && document.activeElement !== this.comment) this.edit.focus(); // the next thing to do is to correct
      else if (follow) this.focusRow(next);
    }

    nameOf(row) {
      return row.getAttribute("aria-label") || document.getElementById(row.getAttribute("aria-labelledby"))?.textContent || "";
    }

    toggle(name) {
      const box = this.form.elements[name];
      box.checked = !box.checked;
      box.dispatchEvent(new Event("change", { bubbles: true }));
      this.say(`${box.closest("label").textContent.trim()}: ${box.checked ? "yes" : "no"}`);
    }

    click(selector) { const button = this.form.querySelector(selector); if (button && !button.hidden) button.click(); }

    hint(action) { return this.find(`[data-hint=${action}]`)?.textContent || ""; }

    pressed(event) {
      if (event.isComposing || event.defaultPrevented || this.gone) return;
      const modal = document.querySelector("dialog:modal, dialog:popover-open");
      let typing = event.target.closest?.("textarea, select, input:not([type=radio], [type=checkbox])");
      // a box in a dialog that was closed keeps the focus until the next frame: the key is meant for the desk
      if (typing && !typing.checkVisibility()) { typing.blur(); typing = null; }
      const action = this.keys.actionOf(event, typing);
      if (modal) {
        if (action !== "submit") return;
        event.preventDefault();
        modal.querySelector("form .btn.pri, [data-try]")?.click();
        return;
      }
      if (this.parts.some((part) => part.pressed?.(event, typing))) return;
      if (action) { this.act(action, event); return; }
      if (event.ctrlKey || event.metaKey || event.getModifierState("AltGraph")) return;
      if (event.key === "Enter" && event.target.matches?.("[data-desk] input")) { event.preventDefault(); return; } // would hand it in
      if (event.key === "Escape" && typing) { typing.blur(); document.getElementById("main").focus({ preventScroll: true }); return; }
      if (event.key === "?" && (!typing || event.altKey)) { event.preventDefault(); document.getElementById("keys").showModal(); return; }
      if (!event.altKey && (typing || !this.keys.single)) return;
      const key = window.GalleyKeys.plain(event);
      if (/^[1-5]$/.test(key)) { event.preventDefault(); this.answer(Number(key)); return; }
      const inPane = !event.altKey && event.target.closest?.(".pane-body"); // panes scroll by arrows
      if ((key === "arrowup" || key === "arrowdown") && !event.shiftKey && !inPane) { event.preventDefault(); this.step(key === "arrowup" ? -1 : 1); }
    }

    act(action, event) {
      const acts = {
        submit: () => this.form.requestSubmit(this.form.querySelector("[data-submit]")), save: () => this.save(),
        undo: () => this.undo(), later: () => this.click("[data-pass][value=later]"), not_for_me: () => this.click("[data-pass][value='not for me']"),
        flag: () => this.click("[data-flag]"), edit: () => this.edit.focus(), comment: () => this.comment.focus(),
        article: () => document.getElementById("source").focus(), line_up: () => this.step(-1), line_down: () => this.step(1),
        older: () => this.leaveFor(() => location.assign(this.data.olderUrl)), newer: () => this.goBack(),
        recent: () => this.find("[data-recent-open]").click(), retrain: () => this.toggle("wants_retrain"), refine: () => this.toggle("wants_refine"),
        prompt: () => this.find("[data-try-open]")?.click(),
      };
      const own = acts[action] || this.parts.map((part) => part.actions?.[action]).find(Boolean);
      if (!own) return;
      event.preventDefault();
      own();
    }

    undo() {
      const button = document.querySelector("[data-undo-button]");
      if (button) button.click();
      else this.say("Nothing to take back.");
    }

    goBack() {
      if (this.correcting) this.leaveFor(() => location.assign(this.data.newerUrl));
      else this.say("You are where you were.");
    }
  }

  /** The page that was fetched ahead counted the day before this item was handed in. */
  function countDay(done, whole) {
    const day = document.querySelector("[data-day]");
    const more = day.querySelector("b").textContent.trim().endsWith("+") ? "+" : "";
    const number = (value) => value.toLocaleString("en-US");
    day.querySelector("progress").max = whole;
    day.querySelector("progress").value = done;
    day.querySelector("b").textContent = `${number(done)} of ${number(whole)}${more}`;
  }

  function alike(one, other) {
    const second = Array.isArray(other) ? Object.fromEntries(other) : other;
    const names = new Set([...Object.keys(one), ...Object.keys(second)]);
    const plain = (value) => String(value ?? "").replace(/\r\n/g, "\n").trim();
    // the server writes the same marks in its own order of fields and places
    const lists = { marks: ["side", "start", "end", "error_type", "severity", "note", "suggested"], support: [0, 1, 2] };
    const sorted = (name, value) => JSON.stringify(JSON.parse(value || "[]").map((row) => lists[name].map((field) => row[field] ?? "").join()).sort());
    return [...names].every((name) => (name in lists ? sorted(name, one[name]) === sorted(name, second[name]) : plain(one[name]) === plain(second[name])));
  }

  // ---------------------------------------------------------------- start

  let current = null;
  function start() {
    const form = document.querySelector("form[data-desk]");
    current = form ? new Desk(form) : null;
    window.galleyDesk = current;
  }
  // What the model's process answers while it is busy or gone belongs into the dialog, not under it.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target?.id === "trial" && event.detail.xhr.status === 503) { event.detail.shouldSwap = true; event.detail.isError = false; }
  });
  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  document.addEventListener("DOMContentLoaded", () => { store.sweep(); start(); });
})();

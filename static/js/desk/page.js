// What both desks are: one item's answers in a form that is saved, kept, submitted, skipped, and worked by keys. A
// desk is a class of its own beside it, which says what the answers are:
//   static selector          its form
//   words                    {nothing, answer, lost}: what the page says
//   values(), fill(answers), named(current)   the answers, into the form, and the server's JSON in the form's names
//   alike(one, other), textOf(answers), inWords(answers)   two answers compared, and shown side by side
//   answersChanged()         what follows on the page when one changes
//   place(name), goToError(fields)   where an error of a field stands, and where to go for the first one
//   actions                  {name: act} beside those that both desks have; comment is the box of one's own words
//   plainKey(event)          keys that nobody can choose; carry() → what the next item's page keeps of this one's
import { ActiveTime } from "./active-time.js";
import { Autosave } from "./autosave.js";
import { Conflict } from "./conflict.js";
import { Keys } from "./keys.js";
import { Lease } from "./lease.js";
import { sweep } from "./local-drafts.js";
import { post, Refusal } from "./requests.js";
import { leaveForUndoBy } from "./undo.js";

export class DeskPage {
  /** The desk that the page shows now, begun; null where it shows none. */
  static open() {
    const form = document.querySelector(this.selector);
    if (!form) return null;
    const desk = new this(form);
    desk.begin();
    return desk;
  }

  static opens() {
    window.addEventListener("pageshow", (event) => {
      if (event.persisted) location.reload();
    });
    sweep();
    this.open();
  }

  constructor(form) {
    this.form = form;
    this.data = form.dataset;
    this.correcting = this.data.state === "submitted";
    this.busy = false;
    this.gone = false;
    this.timers = new Set();
    this.listeners = new AbortController();
    this.keys = new Keys(JSON.parse(this.data.keys), Boolean(this.data.single));
    this.parts = [];
  }

  /** Once the desk's own parts stand. */
  begin() {
    this.time = new ActiveTime(this);
    this.conflict = new Conflict(this);
    this.lease = new Lease(this);
    this.draft = new Autosave(this);
    this.attach();
    leaveForUndoBy((go, stay) => this.leaveFor(go, stay));
    this.draft.recover();
    if (this.draft.dirty && !this.conflict.open) this.changed();
    this.lease.begin();
    this.data.ready = "yes";
  }

  // -- small things

  after(ms, act) {
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      act();
    }, ms);
    this.timers.add(timer);
    return timer;
  }
  every(ms, act) {
    const timer = setInterval(act, ms);
    this.timers.add(timer);
  }
  cancel(timer) {
    clearTimeout(timer);
    this.timers.delete(timer);
  }
  on(target, type, act, options = {}) {
    target.addEventListener(type, act, { ...options, signal: this.listeners.signal });
  }
  find(selector) {
    return document.querySelector(selector);
  }
  leave() {
    this.gone = true;
    delete this.data.ready;
    leaveForUndoBy(null);
    for (const part of this.parts) part.leave?.();
    this.listeners.abort();
    for (const timer of this.timers) {
      clearTimeout(timer);
      clearInterval(timer);
    }
  }
  say(text) {
    const node = this.find("[data-said]");
    if (node) node.textContent = text;
  }
  changed() {
    this.draft.changed();
  }
  submit() {
    this.form.requestSubmit(this.form.querySelector("[data-submit]"));
  }

  whole() {
    return {
      ...this.values(),
      csrfmiddlewaretoken: this.form.elements.csrfmiddlewaretoken.value,
      assignment: this.form.elements.assignment.value,
      token: this.form.elements.token.value,
      base_revision: this.draft.revision,
      active_seconds: this.time.seconds,
      ...(this.form.elements.back ? { back: this.form.elements.back.value } : {}),
    };
  }

  attach() {
    this.on(this.form, "submit", (event) => this.submitted(event));
    this.on(document, "keydown", (event) => this.pressed(event));
    const flag = this.find("[data-flag-form]");
    if (flag) {
      this.on(flag, "submit", (event) => {
        event.preventDefault();
        const { name, value } = flag.querySelector("textarea");
        this.skip(flag.action, { meaning: "flag", [name]: value });
      });
    }
    const single = this.find("[data-single-keys]");
    this.on(single, "change", async () => {
      this.keys.single = single.checked;
      try {
        await post(single.dataset.url, {
          csrfmiddlewaretoken: this.form.elements.csrfmiddlewaretoken.value,
          single_keys: single.checked ? "1" : "",
        });
      } catch (_) {
        this.notice("Kept for this page only: no connection to Galley.", "warning");
      }
    });
    for (const link of document.querySelectorAll("[data-leave]")) {
      this.on(link, "click", (event) => {
        event.preventDefault();
        this.leaveFor(() => location.assign(link.href));
      });
    }
  }

  signedOut() {
    this.draft.show("out");
    this.notice(
      "You have been signed out. What you typed is kept in this browser and comes back when you have signed in.",
      "warning",
      [
        ["Sign in", `${document.body.dataset.login}?next=${encodeURIComponent(location.pathname)}`],
      ],
    );
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
    for (const other of box.querySelectorAll("p")) {
      if (other.textContent === node.querySelector("p").textContent) return;
    }
    box.append(node);
    this.say(text);
  }

  async leaveFor(go, stay = () => {}) {
    if (this.busy) return;
    if (this.draft.dirty) await this.draft.save();
    if (this.draft.dirty && !this.correcting) { // a correction is kept in this browser until it is submitted
      if (this.draft.failures) {
        this.notice(
          "No connection to Galley. What you typed is kept in this browser; try again when it is back.",
          "error",
        );
      }
      stay();
      return;
    }
    this.leave();
    go();
  }

  async submitted(event) {
    const by = event.submitter;
    if (by?.formAction && by.matches("noscript *")) return;
    event.preventDefault();
    if (this.busy) return;
    if (by?.matches("[data-skip]")) {
      await this.skip(by.formAction, { meaning: by.value });
      return;
    }
    await this.working(async () => {
      if (this.draft.saving) await this.draft.saving;
      this.cancel(this.draft.saveTimer);
      this.draft.show("sending");
      performance.mark("galley:submit");
      const sent = this.draft.now();
      try {
        const answer = await post(this.form.action, this.whole());
        performance.mark("galley:answered");
        this.draft.settled(sent);
        this.lease.goOn(answer, true);
      } catch (error) {
        this.refused(error, sent);
      }
    });
  }

  refused(error, sent) {
    if (!(error instanceof Refusal)) {
      this.draft.failures += 1;
      this.draft.show("offline");
      this.notice(
        "No connection to Galley, so this is not submitted yet. " +
          "What you typed is kept in this browser; try again when it is back.",
        "error",
      );
      this.draft.tryAgainLater();
      return;
    }
    if (error.status === 422) {
      this.showErrors(error.fields, true);
      this.say(Object.values(error.fields).join(" "));
      this.draft.show(this.draft.dirty ? "unsaved" : this.draft.revision ? "saved" : "nothing");
      if (this.draft.dirty && !this.correcting) this.draft.saveSoon();
      return;
    }
    this.draft.failed(error, sent);
  }

  async skip(url, values) {
    if (this.busy) return;
    await this.working(async () => {
      if (this.draft.dirty) await this.draft.save();
      if (this.draft.dirty && this.draft.failures) {
        this.notice("No connection to Galley. What you typed is kept in this browser.", "error");
        return;
      }
      if (this.conflict.open) return;
      const { csrfmiddlewaretoken, assignment, token } = this.whole();
      try {
        const answer = await post(url, { csrfmiddlewaretoken, assignment, token, ...values });
        this.find("#flag")?.matches(":popover-open") && this.find("#flag").hidePopover();
        this.lease.goOn(answer);
      } catch (error) {
        const text = error instanceof Refusal ? error.message : "No connection to Galley. Try again when it is back.";
        this.notice(text || "That did not work.", "error");
      }
    });
  }

  async working(act) {
    this.busy = true;
    this.form.setAttribute("aria-busy", "true");
    try {
      await act();
    } finally {
      if (!this.gone) {
        this.busy = false;
        this.form.removeAttribute("aria-busy");
      }
    }
  }

  showError(name, text) {
    const place = this.place(name);
    if (!place) return null;
    let list = place.querySelector(".errorlist");
    if (!list && text) {
      list = document.createElement("ul");
      list.className = "errorlist";
      place.append(list);
    }
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

  click(selector) {
    const button = this.form.querySelector(selector);
    if (button && !button.hidden) button.click();
  }

  hint(action) {
    return this.find(`[data-hint=${action}]`)?.textContent || "";
  }

  undo() {
    const button = document.querySelector("[data-undo-button]");
    if (button) button.click();
    else this.say("Nothing to take back.");
  }

  showErrors(fields, goThere) {
    for (const [name, text] of Object.entries(fields)) this.showError(name, text);
    if (!goThere) return;
    this.goToError(fields);
    const rest = Object.keys(fields).filter((name) => !this.place(name));
    if (rest.length) this.notice(rest.map((name) => fields[name]).join(" "), "error");
  }

  // -- keys

  pressed(event) {
    if (event.isComposing || event.defaultPrevented || this.gone) return;
    const modal = document.querySelector("dialog:modal, dialog:popover-open");
    let typing = event.target.closest?.("textarea, select, input:not([type=radio], [type=checkbox])");
    // a box in a dialog that was closed keeps the focus until the next frame: the key is meant for the desk
    if (typing && !typing.checkVisibility()) {
      typing.blur();
      typing = null;
    }
    const action = this.keys.actionOf(event, typing);
    if (modal) {
      if (action !== "submit") return;
      event.preventDefault();
      modal.querySelector("form .btn.pri, [data-try]")?.click();
      return;
    }
    if (this.parts.some((part) => part.pressed?.(event, typing))) return;
    if (action) {
      this.act(action, event);
      return;
    }
    if (event.ctrlKey || event.metaKey || event.getModifierState("AltGraph")) return;
    if (event.key === "Enter" && event.target.matches?.("input") && this.form.contains(event.target)) {
      event.preventDefault();
      return;
    } // would submit it
    if (event.key === "Escape" && typing) {
      typing.blur();
      document.getElementById("main").focus({ preventScroll: true });
      return;
    }
    if (event.key === "?" && (!typing || event.altKey)) {
      event.preventDefault();
      document.getElementById("keys").showModal();
      return;
    }
    if (!event.altKey && (typing || !this.keys.single)) return;
    this.plainKey?.(event);
  }

  act(action, event) {
    const acts = {
      submit: () => this.submit(),
      save: () => this.draft.save(),
      undo: () => this.undo(),
      later: () => this.click("[data-skip][value=snooze]"),
      not_for_me: () => this.click("[data-skip][value=skip]"),
      flag: () => this.click("[data-flag]"),
      comment: () => this.comment.focus(),
      article: () => document.getElementById("source").focus(),
    };
    const own = acts[action] || [this, ...this.parts].map((part) => part.actions?.[action]).find(Boolean);
    if (!own) return;
    event.preventDefault();
    own();
  }
}

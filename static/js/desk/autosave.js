// A draft's way to safety, at both desks: at once into this browser, within two seconds to the server, again and again
// where the server cannot be reached, and back into the form after a crash.
import * as localDrafts from "./local-drafts.js";
import { post, Refusal } from "./requests.js";

const SAVE_AFTER_MS = 700; // quiet time before a save
const SAVE_AT_LATEST_MS = 1800; // while somebody types on and on
const RETRY_MS = [2000, 4000, 8000, 15000, 30000];

/** Whether somebody was faster than this script: an answer is not what it was when the page came. */
function answeredBefore(desk) {
  const names = new Set(Object.keys(desk.values()));
  return [...desk.form.elements].filter((field) => names.has(field.name)).some((field) =>
    field.matches("[type=radio], [type=checkbox]")
      ? field.checked !== field.defaultChecked
      : field.matches("textarea") && field.value !== field.defaultValue
  );
}

export class Autosave {
  constructor(desk) {
    this.desk = desk;
    this.data = desk.data;
    this.key = localDrafts.keyOf(this.data.user, this.data.item);
    this.chip = desk.find("[data-saved]");
    this.revision = Number(desk.form.elements.base_revision.value);
    this.failures = 0;
    this.unanswered = []; // sent, and nobody knows whether it arrived
    this.firstChange = 0;
    this.saving = null;
    this.confirmed = answeredBefore(desk) ? "" : this.now(); // what the server has
    desk.on(desk.form, "input", () => this.changed());
    desk.on(desk.form, "change", () => this.changed());
    desk.on(window, "online", () => this.save());
    desk.on(window, "offline", () => {
      if (this.dirty) this.show("offline");
    });
    desk.on(window, "pagehide", () => this.lastWords());
    desk.on(document, "visibilitychange", () => {
      if (document.hidden && this.dirty) this.save();
    });
    desk.on(window, "beforeunload", (event) => {
      if (this.dirty && this.failures && !desk.busy) event.preventDefault();
    });
  }

  /** The answers alone, in a stable form. */
  now() {
    return JSON.stringify(Object.entries(this.desk.values()).sort());
  }
  get dirty() {
    return this.now() !== this.confirmed;
  }

  changed() {
    if (this.desk.gone) return;
    this.desk.answersChanged();
    if (!this.dirty) {
      this.confirmedAgain();
      return;
    }
    const kept = localDrafts.set(this.key, { answers: this.desk.values(), base: this.revision, at: Date.now() });
    if (this.desk.conflict.open) return;
    if (this.desk.correcting) {
      this.show("correcting");
      return;
    }
    this.show(this.failures ? "offline" : kept ? "unsaved" : "unkept");
    if (!this.failures) this.saveSoon();
  }

  /** What stands here is what the server has. */
  confirmedAgain() {
    localDrafts.drop(this.key);
    this.show(this.revision ? "saved" : "nothing");
  }

  /** It has been submitted, or given up for what the server has. */
  settled(sent) {
    this.confirmed = sent;
    localDrafts.drop(this.key);
  }

  saveSoon() {
    const now = performance.now(); // a clock that is set back must not put it off
    if (!this.firstChange) this.firstChange = now;
    this.desk.cancel(this.saveTimer);
    const left = Math.max(0, this.firstChange + SAVE_AT_LATEST_MS - now);
    this.saveTimer = this.desk.after(Math.min(SAVE_AFTER_MS, left), () => this.save());
  }

  async save({ overwrite = false } = {}) {
    this.desk.cancel(this.saveTimer);
    // while somebody chooses which answers go on, a save would only ask them again
    if (this.desk.correcting || this.desk.gone || this.desk.conflict.open) return;
    if (this.saving) {
      await this.saving;
      if (!this.dirty || this.desk.gone) return;
    }
    if (!this.dirty && !overwrite) return;
    this.saving = this.sendDraft(overwrite).finally(() => {
      this.saving = null;
    });
    await this.saving;
  }

  async sendDraft(overwrite) {
    const sent = this.now();
    this.firstChange = 0;
    this.show("saving");
    try {
      const answer = await post(this.data.saveUrl, { ...this.desk.whole(), ...(overwrite ? { overwrite: "1" } : {}) });
      this.failures = 0;
      this.unanswered = [];
      this.took(answer.revision, sent);
      if (!answer.held) this.desk.lease.lost();
    } catch (error) {
      this.failed(error, sent);
    }
  }

  /** The server has `sent` as this revision. */
  took(revision, sent) {
    this.revision = revision;
    this.desk.form.elements.base_revision.value = revision;
    this.confirmed = sent;
    if (this.dirty) {
      this.changed();
      return;
    }
    localDrafts.drop(this.key);
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
    if (error.code === "stale_draft") {
      this.desk.conflict.stale(error, sent);
      return;
    }
    if (error.code === "submitted") {
      this.desk.conflict.alreadySubmitted(error);
      return;
    }
    if (error.status === 401) {
      this.desk.signedOut();
      return;
    }
    if (error.status === 422) {
      this.desk.showErrors(error.fields, false);
      this.show("refused");
      return;
    }
    this.show("refused");
    this.desk.notice(
      error.message || `The server refused to save this (${error.status}). What you typed is kept in this browser.`,
      "error",
    );
  }

  tryAgainLater() {
    const wait = RETRY_MS[Math.min(this.failures - 1, RETRY_MS.length - 1)];
    this.desk.cancel(this.retryTimer);
    this.retryTimer = this.desk.after(wait, () => this.save());
  }

  /** The page goes away: one more try that outlives it. The browser's copy stays until the server has confirmed. */
  lastWords() {
    if (!this.dirty || this.desk.correcting || this.desk.gone) return;
    const body = new URLSearchParams({ ...this.desk.whole(), quiet: "1" });
    navigator.sendBeacon(this.data.saveUrl, body);
  }

  show(state) {
    const said = {
      nothing: ["", this.desk.words.nothing],
      saved: ["ok", "Saved"],
      saving: ["info", "Saving…"],
      unsaved: ["maybe", "Not saved yet"],
      unkept: ["bad", "Not saved yet"],
      offline: ["bad", "Not saved · kept in this browser"],
      refused: ["bad", "Not saved"],
      stale: ["bad", "Not saved · changed elsewhere"],
      out: ["bad", "Not saved · signed out"],
      correcting: ["maybe", "Not submitted yet"],
      sending: ["info", "Submitting…"],
    }[this.desk.correcting && state === "saved" ? "correcting" : state];
    this.chip.className = `chip dot saved ${said[0]}`;
    if (this.chip.textContent !== said[1]) this.chip.textContent = said[1];
    if (this.chip.dataset.state !== state && ["offline", "refused", "stale", "out"].includes(state)) {
      this.desk.say(said[1]);
    }
    this.chip.dataset.state = state;
  }

  recover() {
    const kept = localDrafts.get(this.key);
    if (!kept) return;
    const mine = JSON.stringify(Object.entries(kept.answers).sort());
    if (mine === this.confirmed) {
      localDrafts.drop(this.key);
      return;
    }
    if (kept.base === this.revision || this.desk.correcting) {
      this.desk.fill(kept.answers);
      this.changed();
      this.desk.notice("What you had typed here before it could be saved is back.", "success");
      return;
    }
    const server = this.desk.values();
    this.desk.conflict.choose({
      text: "This browser keeps something that was never saved, and a newer draft was saved from elsewhere since.",
      theirs: server,
      mine: kept.answers,
      take: () => {
        localDrafts.drop(this.key);
        this.show("saved");
      },
      keep: () => {
        this.desk.fill(kept.answers);
        this.changed();
      },
    });
  }
}

// The summary's sentences: what of the article supports each best, what the article does not have, and the reviewer's
// word on it. What supports is computed in the queue (reviews/texts/grounding.py); here it is only shown.
import { highlight, Places } from "./places.js";

const DWELL_MS = 250; // the article scrolls for a pointer that stays, not for one that passes
const shortened = (text) => (text.length > 70 ? `${text.slice(0, 67)}…` : text);

export class Grounding {
  constructor(desk) {
    this.desk = desk;
    this.summary = document.getElementById("summary");
    this.source = document.getElementById("source");
    this.field = desk.form.elements.support;
    this.bar = desk.find("[data-checks]");
    const data = JSON.parse(this.summary.dataset.grounding);
    this.linked = data.linked;
    this.sentences = data.sentences;
    this.inSummary = new Places(this.summary);
    this.inSource = new Places(this.source);
    this.at = -1; // the sentence that was gone to; one under the pointer is only shown
    this.bar.hidden = !this.sentences.length;
    this.actions = {
      next_sentence: () => this.go((this.at + 1) % this.sentences.length),
      supported: () => this.judge(true),
      unsupported: () => this.judge(false),
    };
    desk.on(this.summary, "pointermove", (event) => this.under(event), { passive: true });
    desk.on(this.summary, "pointerleave", () => {
      desk.cancel(this.dwell);
      this.light(this.at);
    });
    desk.on(this.summary, "click", (event) => {
      if (!getSelection().isCollapsed) return;
      const found = this.sentenceAt(this.inSummary.under(event.clientX, event.clientY));
      if (found >= 0) this.go(found);
    });
    desk.on(this.bar, "click", (event) => {
      const pip = event.target.closest("[data-pip]"), said = event.target.closest("[data-support]");
      if (pip) this.go(Number(pip.dataset.pip));
      if (said) this.judge(said.dataset.support === "yes");
    });
    const missing = this.sentences.flatMap((sentence) => sentence.unsupported);
    highlight("missing", missing.map((place) => this.inSummary.range(place.start, place.end)));
    this.show();
  }

  leave() {
    for (const name of ["missing", "sentence", "support-first", "support-more"]) highlight(name, []);
  }

  judged() {
    return new Map(JSON.parse(this.field.value || "[]").map(([start, , supported]) => [start, supported]));
  }

  sentenceAt(point) {
    return point === null
      ? -1
      : this.sentences.findIndex((sentence) => sentence.start <= point && point < sentence.end);
  }

  under(event) {
    if (event.buttons) return; // something is being selected
    const found = this.sentenceAt(this.inSummary.under(event.clientX, event.clientY));
    if (found < 0 || found === this.lit) return;
    this.light(found);
    this.desk.cancel(this.dwell);
    this.dwell = this.desk.after(DWELL_MS, () => this.scroll(found));
  }

  /** Show a sentence and its sources. */
  light(number) {
    this.lit = number;
    const sentence = this.sentences[number];
    highlight("sentence", sentence ? [this.inSummary.range(sentence.start, sentence.end)] : []);
    const links = (sentence?.links || []).map((link) => this.inSource.range(link.start, link.end));
    highlight("support-first", links.slice(0, 1));
    highlight("support-more", links.slice(1));
  }

  scroll(number) {
    const link = this.sentences[number]?.links[0];
    if (!link || this.source.scrollHeight <= this.source.clientHeight) return; // a phone's page must not jump away
    const paragraph = this.inSource.paragraphs[this.inSource.number(link.start)];
    const top = () => this.source.getBoundingClientRect().top;
    this.source.scrollTop += paragraph.getBoundingClientRect().top - top() - 60;
    requestAnimationFrame(() => { // what was out of sight has its size only now
      const box = this.inSource.range(link.start, link.end)?.getBoundingClientRect();
      const view = this.source.getBoundingClientRect();
      if (box?.height && (box.top < view.top + 20 || box.bottom > view.bottom - 20)) {
        this.source.scrollTop += box.top - view.top - view.height / 3;
      }
    });
  }

  go(number) {
    if (!this.sentences.length) return;
    this.at = number;
    this.light(number);
    this.scroll(number);
    this.show();
    this.desk.say(`Sentence ${number + 1} of ${this.sentences.length}. ${this.inWords(this.sentences[number])}`);
  }

  inWords(sentence) {
    const lacks = sentence.unsupported.map((place) => `“${this.inSummary.quote(place.start, place.end)}”`);
    const said = [];
    if (lacks.length) said.push(`The article lacks ${lacks.join(", ")}.`);
    if (!this.linked) said.push("Not linked to the article yet.");
    else if (!sentence.links.length) said.push("Nothing in the article is close to it.");
    else said.push(`Closest: “${shortened(this.inSource.quote(sentence.links[0].start, sentence.links[0].end))}”`);
    return said.join(" ");
  }

  judge(supported) {
    if (!this.sentences.length) return;
    const number = Math.max(0, this.at), sentence = this.sentences[number], judged = this.judged();
    const again = judged.get(sentence.start) === supported;
    if (again) judged.delete(sentence.start);
    else judged.set(sentence.start, supported);
    const rows = this.sentences.filter((one) => judged.has(one.start)).map((
      one,
    ) => [one.start, one.end, judged.get(one.start)]);
    this.field.value = JSON.stringify(rows);
    this.desk.changed();
    const next = this.sentences.findIndex((one, index) => index > number && !judged.has(one.start));
    this.go(again || next < 0 ? number : next); // one key a sentence
    const word = again ? "open again" : supported ? "supported" : "not supported";
    this.desk.say(`Sentence ${number + 1}: ${word}.`);
  }

  filled() {
    this.show();
  }

  show() {
    const judged = this.judged();
    this.bar.querySelector("[data-pips]").replaceChildren(...this.sentences.map((sentence, number) => {
      const pip = document.createElement("button"), said = judged.get(sentence.start);
      pip.type = "button";
      pip.className = `pip ${said === true ? "ok" : said === false ? "bad" : ""}${number === this.at ? " here" : ""}`;
      pip.dataset.pip = number;
      if (number === this.at) pip.setAttribute("aria-current", "true");
      pip.textContent = `${number + 1}${
        said === true ? "✓" : said === false ? "✗" : sentence.unsupported.length ? "!" : ""
      }`;
      pip.setAttribute(
        "aria-label",
        `Sentence ${number + 1}${said === true ? ", supported" : said === false ? ", not supported" : ""}${
          sentence.unsupported.length ? ", has something that the article lacks" : ""
        }`,
      );
      return pip;
    }));
    const here = this.sentences[this.at];
    const missing = this.sentences.flatMap((sentence) => sentence.unsupported).map((place) =>
      `“${this.inSummary.quote(place.start, place.end)}”`
    );
    this.bar.querySelector("[data-check-said]").textContent = here
      ? this.inWords(here)
      : missing.length
      ? `The article lacks ${missing.join(", ")}.`
      : "";
    for (const button of this.bar.querySelectorAll("[data-support]")) {
      button.setAttribute(
        "aria-pressed",
        String(Boolean(here) && judged.get(here.start) === (button.dataset.support === "yes")),
      );
    }
  }

  current() {
    return this.sentences[this.at] || null;
  }
}

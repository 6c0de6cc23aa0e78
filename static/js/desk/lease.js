// The lease of an item: activity keeps it, the next item is fetched ahead with a short one, and shown at once when
// its turn comes.
import { post, Refusal } from "./requests.js";
import { offerUndo } from "./undo.js";

const AHEAD_AFTER_MS = 1500;

export class Lease {
  constructor(desk) {
    this.desk = desk;
    this.data = desk.data;
    this.ahead = null;
  }

  begin() {
    if (this.desk.correcting) return;
    this.desk.every(Math.min(60000, Number(this.data.leaseMinutes) * 20000), () => this.keep());
    if (this.data.held) this.desk.after(AHEAD_AFTER_MS, () => this.fetchAhead());
  }

  lost() {
    if (this.told || this.desk.correcting) return;
    this.told = true;
    this.data.held = "";
    for (const button of this.desk.form.querySelectorAll("[data-skip], [data-flag]")) button.hidden = true;
    this.desk.notice(this.desk.words.lost, "warning");
  }

  async keep() {
    if (this.desk.gone || !this.data.held) return;
    const common = { csrfmiddlewaretoken: this.desk.form.elements.csrfmiddlewaretoken.value };
    try {
      const answer = await post(this.data.keepUrl, {
        ...common,
        assignment: this.desk.form.elements.assignment.value,
        token: this.desk.form.elements.token.value,
      });
      if (!answer.held) this.lost();
      if (this.ahead) {
        const next = await post(this.ahead.keepUrl, {
          ...common,
          assignment: this.ahead.assignment,
          token: this.ahead.token,
          ahead: "1",
        });
        if (!next.held) {
          this.ahead = null;
          delete this.data.ahead;
          this.fetchAhead();
        }
      }
    } catch (error) {
      if (error instanceof Refusal && error.status === 401) this.desk.signedOut();
      // a lost connection is told by the autosave, and the next call follows
    }
  }

  async fetchAhead() {
    if (this.desk.gone || this.ahead || this.desk.correcting) return;
    try {
      const answer = await fetch(`${this.data.nextUrl}?ahead=${this.data.item}`, { headers: { "HX-Request": "true" } });
      if (!answer.ok || answer.redirected || this.desk.gone) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const form = page.querySelector(this.desk.constructor.selector);
      if (!form) return; // nothing left; asked again when this one is submitted
      this.data.ahead = "yes";
      const [shown, fresh] = [document, page].map((one) => one.querySelector(".nav-links"));
      if (shown && fresh && !shown.contains(document.activeElement)) {
        shown.replaceWith(document.importNode(fresh, true));
      }
      this.ahead = {
        page,
        assignment: form.elements.assignment.value,
        token: form.elements.token.value,
        keepUrl: form.dataset.keepUrl,
      };
    } catch (_) { /* without a connection the next item is loaded when it is needed */ }
  }

  /** To the next item: at once where it was fetched ahead. */
  goOn({ next: url = this.data.nextUrl, message = "", undo = null } = {}, submitted = false) {
    const { ahead } = this;
    const item = this.data.item, token = this.desk.form.elements.csrfmiddlewaretoken.value;
    const progress = document.querySelector("[data-day] progress");
    const done = progress.value + (submitted ? 1 : 0), whole = progress.max;
    this.desk.busy = true;
    if (!ahead || url !== this.data.nextUrl) {
      this.desk.leave();
      location.assign(undo ? `${url}?undo=${item}` : url);
      return;
    }
    const carry = this.desk.carry?.();
    this.desk.leave();
    const main = document.getElementById("main");
    main.replaceChildren(...document.importNode(ahead.page.getElementById("main"), true).childNodes);
    document.title = ahead.page.title;
    history.replaceState(null, "", this.data.nextUrl);
    countDay(done, whole);
    if (window.htmx) window.htmx.process(main);
    scrollTo(0, 0);
    main.focus({ preventScroll: true });
    carry?.();
    const next = this.desk.constructor.open();
    performance.mark("galley:next-shown");
    if (!next) return;
    if (undo) offerUndo({ ...undo, message, token, key: next.hint("undo") });
    next.say(`${message} Next: ${document.querySelector("h1").textContent}`);
    next.lease.keep();
  }
}

/** The page that was fetched ahead counted the day before this item was submitted. */
function countDay(done, whole) {
  const day = document.querySelector("[data-day]");
  const more = day.querySelector("b").textContent.trim().endsWith("+") ? "+" : "";
  const number = (value) => value.toLocaleString("en-US");
  day.querySelector("progress").max = whole;
  day.querySelector("progress").value = done;
  day.querySelector("b").textContent = `${number(done)} of ${number(whole)}${more}`;
}

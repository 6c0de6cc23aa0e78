// Error spans: select in the summary or the article, say what is wrong (one key) and how bad it is (one key). And the
// labels that the server suggests from the correction (reviews/texts/error_labels.py): confirmed or dismissed with one
// key.
import { plain } from "./keys.js";
import { highlight, Places } from "./places.js";
import { post } from "./requests.js";

const SUGGEST_AFTER_MS = 900;
const key = (mark) => [mark.side, mark.start, mark.end, mark.error_type].join();

export class Marks {
  constructor(desk) {
    this.desk = desk;
    this.field = desk.form.elements.marks;
    this.menu = document.getElementById("mark-menu");
    this.list = desk.find("[data-marks]");
    this.chips = desk.find("[data-suggested]");
    this.texts = {
      summary: new Places(document.getElementById("summary")),
      source: new Places(document.getElementById("source")),
    };
    this.labels = [];
    this.dismissed = new Set();
    this.asked = null;
    this.actions = {
      mark: () => this.open(),
      proof: () => this.texts.summary.root.focus(),
      confirm_label: () => this.confirm(0),
      dismiss_label: () => this.dismiss(0),
    };
    for (const places of Object.values(this.texts)) {
      desk.on(places.root, "pointerup", (event) => {
        if (event.pointerType !== "touch") desk.after(0, () => this.openForSelection(places));
      });
      desk.on(places.root, "keydown", (event) => this.step(event, places));
    }
    desk.on(document, "pointerdown", (event) => {
      if (!this.menu.contains(event.target) && !event.target.closest(".marks")) this.close();
    });
    desk.on(document, "selectionchange", () => this.offerOnTouch());
    desk.on(this.menu, "click", (event) => this.clicked(event));
    desk.on(this.list, "click", (event) => {
      const mark = this.marks()[Number(event.target.closest("[data-mark]")?.dataset.mark)];
      if (!mark) return;
      if (event.target.closest("[data-remove]")) this.remove(mark);
      else this.open(mark);
    });
    desk.on(this.chips, "click", (event) => {
      const number = Number(event.target.closest("[data-label]")?.dataset.label);
      if (event.target.closest("[data-confirm]")) this.confirm(number);
      else if (event.target.closest("[data-dismiss-label]")) this.dismiss(number);
    });
    this.show();
    this.changed();
  }

  leave() {
    this.close();
    for (const severity of ["minor", "major", "critical"]) highlight(`mark-${severity}`, []);
  }

  marks() {
    return JSON.parse(this.field.value || "[]");
  }

  keep(marks) {
    this.field.value = JSON.stringify(marks);
    this.show();
    this.desk.changed();
  }

  filled() {
    this.show();
  }

  // -- choosing a place

  step(event, places) {
    if (
      !["ArrowLeft", "ArrowRight"].includes(event.key) || event.altKey || event.ctrlKey || event.metaKey ||
      event.target !== places.root
    ) return;
    event.preventDefault();
    const forward = (event.key === "ArrowRight") !== (getComputedStyle(places.root).direction === "rtl");
    places.step(forward, event.shiftKey);
    const chosen = places.selected();
    if (chosen) this.desk.say(chosen.quote);
  }

  side(places) {
    return places === this.texts.source ? "source" : "summary";
  }

  openForSelection(places) {
    const chosen = places.selected();
    if (chosen && !this.desk.gone) {
      this.openAt(
        { side: this.side(places), ...chosen },
        places.range(chosen.start, chosen.end).getBoundingClientRect(),
        false,
      );
    }
  }

  offerOnTouch() {
    if (!matchMedia("(pointer: coarse)").matches) return;
    this.desk.cancel(this.touch);
    this.touch = this.desk.after(600, () => {
      for (const places of Object.values(this.texts)) {
        if (places.selected()) {
          this.openForSelection(places);
          return;
        }
      }
    });
  }

  /** By key: what is selected, else the sentence that was gone to. Of a mark: change it. */
  open(mark = null) {
    if (mark) {
      const chip = this.list.querySelector(`[data-mark="${this.marks().findIndex((one) => key(one) === key(mark))}"]`);
      this.openAt(mark, chip.getBoundingClientRect(), true, mark);
      return;
    }
    for (const places of Object.values(this.texts)) {
      const chosen = places.selected();
      if (chosen) {
        this.openAt(
          { side: this.side(places), ...chosen },
          places.range(chosen.start, chosen.end).getBoundingClientRect(),
          true,
        );
        return;
      }
    }
    const sentence = this.desk.grounding?.current();
    if (!sentence) {
      this.desk.say("Select something in the summary or the article first.");
      return;
    }
    const { summary } = this.texts;
    this.openAt(
      { side: "summary", start: sentence.start, end: sentence.end, quote: summary.quote(sentence.start, sentence.end) },
      summary.range(sentence.start, sentence.end).getBoundingClientRect(),
      true,
    );
  }

  // -- the menu

  openAt(place, box, focus, old = null) {
    this.place = place;
    this.old = old;
    this.type = "";
    this.menu.querySelector("[data-mark-quote]").textContent = place.quote;
    this.menu.querySelector("[data-mark-remove]").hidden = !old;
    this.stage("type");
    if (!this.menu.matches(":popover-open")) this.menu.showPopover();
    const own = this.menu.getBoundingClientRect();
    const below = box.bottom + 8 + own.height < innerHeight;
    this.menu.style.left = `${Math.max(8, Math.min(box.left, innerWidth - own.width - 8))}px`;
    this.menu.style.top = `${below ? box.bottom + 8 : Math.max(8, box.top - own.height - 8)}px`;
    if (focus) {
      this.before = document.activeElement;
      this.menu.querySelector("[data-mark-type]").focus();
    } else this.before = null;
    this.desk.say(`Mark “${place.quote.slice(0, 80)}”: what is wrong? 1 to 8.`);
  }

  stage(name) {
    for (const step of this.menu.querySelectorAll("[data-mark-step]")) step.hidden = step.dataset.markStep !== name;
    this.menu.querySelector("[data-mark-help]").textContent = name === "type"
      ? "What is wrong?"
      : `${this.type}: how bad is it? Enter: major`;
    if (this.menu.contains(document.activeElement)) {
      this.menu.querySelector(name === "type" ? "[data-mark-type]" : "[data-mark-severity=major]").focus();
    }
  }

  get isOpen() {
    return this.menu.matches(":popover-open");
  }

  close() {
    if (!this.isOpen) return;
    const inside = this.menu.contains(document.activeElement);
    this.menu.hidePopover();
    if (inside) {
      (this.before?.isConnected && this.before !== document.body ? this.before : document.getElementById("summary"))
        .focus({ preventScroll: true });
    }
  }

  /** Keys while the menu stands open are the menu's. */
  pressed(event, typing) {
    if (!this.isOpen || typing || event.ctrlKey || event.metaKey) return false;
    const digit = /^[1-8]$/.test(plain(event)) ? Number(plain(event)) : 0;
    const shown = [...this.menu.querySelectorAll("[data-mark-step]:not([hidden]) button")];
    if (digit && shown[digit - 1]) {
      event.preventDefault();
      shown[digit - 1].click();
      return true;
    }
    if (event.key === "Escape") {
      event.preventDefault();
      this.close();
      return true;
    }
    if (event.key === "Enter" && this.type && !event.target.closest?.("[data-mark-severity]")) {
      event.preventDefault();
      this.finish("major");
      return true;
    }
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (step && this.menu.contains(document.activeElement)) {
      event.preventDefault();
      const at = shown.indexOf(document.activeElement);
      shown[(at + step + shown.length) % shown.length].focus();
      return true;
    }
    return ["Enter", " ", "Tab"].includes(event.key) && this.menu.contains(document.activeElement);
  }

  clicked(event) {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.markType) {
      this.type = button.dataset.markType;
      this.stage("severity");
    } else if (button.dataset.markSeverity) this.finish(button.dataset.markSeverity);
    else if ("markRemove" in button.dataset) {
      this.close();
      this.remove(this.old);
    } else this.close();
  }

  finish(severity) {
    const mark = {
      side: this.place.side,
      start: this.place.start,
      end: this.place.end,
      quote: this.place.quote,
      error_type: this.type,
      severity,
      note: this.old?.note || "",
      suggested: false,
    };
    this.close();
    getSelection().removeAllRanges();
    this.add(mark, this.old);
  }

  // -- the marks

  add(mark, instead = null) {
    const others = this.marks().filter((one) => key(one) !== key(mark) && (!instead || key(one) !== key(instead)));
    this.keep([...others, mark].sort((one, other) => one.side.localeCompare(other.side) || one.start - other.start));
    this.desk.say(`Marked as ${mark.error_type}, ${mark.severity}: ${mark.quote.slice(0, 80)}`);
  }

  remove(mark) {
    this.keep(this.marks().filter((one) => key(one) !== key(mark)));
    this.desk.say("Mark removed.");
  }

  show() {
    const marks = this.marks();
    this.list.hidden = !marks.length;
    this.list.replaceChildren(...marks.map((mark, number) => {
      const row = document.createElement("li");
      row.dataset.mark = number;
      row.className = `mark ${mark.severity}`;
      const change = document.createElement("button"), remove = document.createElement("button");
      change.type = remove.type = "button";
      change.className = "mark-change";
      change.append(this.words(mark), this.quoted(mark));
      change.setAttribute(
        "aria-label",
        `Change the mark: ${mark.error_type}, ${mark.severity}, in the ${mark.side}: ${mark.quote.slice(0, 80)}`,
      );
      remove.className = "mark-remove";
      remove.dataset.remove = "";
      remove.textContent = "×";
      remove.setAttribute("aria-label", `Remove the mark ${mark.error_type}: ${mark.quote.slice(0, 80)}`);
      row.append(change, remove);
      return row;
    }));
    for (const severity of ["minor", "major", "critical"]) {
      highlight(
        `mark-${severity}`,
        marks.filter((mark) => mark.severity === severity).map((mark) =>
          this.texts[mark.side].range(mark.start, mark.end)
        ),
      );
    }
    this.showLabels();
  }

  words(mark) {
    const text = document.createElement("span");
    text.textContent = `${mark.error_type} · ${mark.severity}${mark.side === "source" ? " · article" : ""}`;
    return text;
  }

  quoted(mark) {
    const text = document.createElement("bdi");
    text.className = "mark-of";
    text.textContent = mark.quote.length > 40 ? `${mark.quote.slice(0, 38)}…` : mark.quote;
    return text;
  }

  // -- labels from the correction

  changed() {
    const { desk } = this, text = desk.edit.value;
    if (this.asked === text) return;
    this.asked = text;
    desk.cancel(this.timer);
    if (text.trim() === desk.summary.trim()) {
      this.labels = [];
      this.showLabels();
      return;
    }
    this.timer = desk.after(SUGGEST_AFTER_MS, () => this.ask(text));
  }

  async ask(text) {
    const { desk } = this;
    try {
      const answer = await post(desk.data.labelsUrl, {
        csrfmiddlewaretoken: desk.form.elements.csrfmiddlewaretoken.value,
        edited_text: text,
      });
      if (desk.gone || desk.edit.value !== text) return;
      this.labels = answer.labels;
      this.showLabels();
    } catch (_) { /* suggestions only: the autosave says where there is no connection */ }
  }

  /** Not what is marked already in other words, nor what was dismissed. */
  openLabels() {
    const marks = this.marks();
    return this.labels.filter((label) =>
      !this.dismissed.has(key(label)) &&
      !marks.some((mark) =>
        mark.side === label.side && mark.error_type === label.error_type && mark.start < label.end &&
        label.start < mark.end
      )
    );
  }

  showLabels() {
    const labels = this.openLabels();
    this.chips.hidden = !labels.length;
    this.chips.replaceChildren(...labels.map((label, number) => {
      const row = document.createElement("li");
      row.dataset.label = number;
      row.className = `mark maybe ${label.severity}`;
      const yes = document.createElement("button"), no = document.createElement("button");
      yes.type = no.type = "button";
      yes.className = "mark-change";
      yes.dataset.confirm = "";
      const words = this.words(label);
      words.textContent += "?";
      yes.append(words, this.quoted(label));
      yes.setAttribute("aria-label", `Confirm: ${label.error_type}, ${label.severity}: ${label.quote.slice(0, 80)}`);
      no.className = "mark-remove";
      no.dataset.dismissLabel = "";
      no.textContent = "×";
      no.setAttribute("aria-label", `Dismiss: ${label.error_type}: ${label.quote.slice(0, 80)}`);
      if (!number) {
        for (const [button, action] of [[yes, "confirm_label"], [no, "dismiss_label"]]) {
          const cap = document.createElement("kbd");
          cap.textContent = this.desk.hint(action);
          button.append(" ", cap);
        }
      }
      row.append(yes, no);
      return row;
    }));
  }

  confirm(number) {
    const label = this.openLabels()[number];
    if (!label) {
      this.desk.say("No label is suggested.");
      return;
    }
    this.add({ ...label, note: "", suggested: true });
  }

  dismiss(number) {
    const label = this.openLabels()[number];
    if (!label) {
      this.desk.say("No label is suggested.");
      return;
    }
    this.dismissed.add(key(label));
    this.showLabels();
    this.desk.say("Dismissed.");
  }
}

// The pairwise desk: which of two summaries is better, by how much, and why. What it shares with the review desk stands
// in page.js.
import { DeskPage } from "./page.js";

class PairwiseDesk extends DeskPage {
  static selector = "form[data-pairwise]";
  words = {
    nothing: "Nothing chosen yet",
    answer: "choice",
    lost: "Your time with this pair ran out and somebody else has it now. " +
      "Submit your choice, and it counts as an extra one.",
  };

  constructor(form) {
    super(form);
    this.comment = form.elements.reason;
    this.choices = [...form.querySelectorAll("[name=choice]")];
    this.differences = form.querySelector("[data-differences]");
    this.actions = {
      ...Object.fromEntries(this.choices.map((input) => [input.dataset.action, () => this.choose(input)])),
      differences: () => {
        this.differences.checked = !this.differences.checked;
        this.say(`Differences ${this.differences.checked ? "marked" : "not marked"}`);
      },
    };
  }

  values() {
    const all = new FormData(this.form);
    return { choice: all.get("choice") || "", reason: all.get("reason") || "" };
  }

  fill({ choice, reason }) {
    for (const input of this.choices) input.checked = input.value === choice;
    this.comment.value = reason;
  }

  named({ choice, reason }) {
    return { choice, reason };
  }

  alike(one, other) {
    const plain = (text) => text.replace(/\r\n/g, "\n").trim();
    return one.choice === other.choice && plain(one.reason) === plain(other.reason);
  }

  textOf({ choice }) {
    return this.nameOf(this.choices.find((input) => input.value === choice)) || "Nothing chosen yet";
  }
  inWords({ reason }) {
    return reason ? `“${reason}”` : "";
  }
  nameOf(input) {
    return input?.closest("label").querySelector(".point-words").textContent.trim() || "";
  }

  answersChanged() {
    if (!this.values().choice) return;
    for (const name of ["answer", "strength"]) this.showError(name, "");
  }

  place(name) {
    const places = { answer: "[data-choices]", strength: "[data-choices]", reason: "[data-field=reason]" };
    return places[name] ? this.form.querySelector(places[name]) : null;
  }

  goToError(fields) {
    if ("reason" in fields) this.comment.focus();
  }

  choose(input) {
    input.checked = true;
    if (input.closest("[data-choices]").contains(document.activeElement)) input.focus({ preventScroll: true });
    this.say(this.nameOf(input));
    this.changed();
  }

  carry() {
    const { checked } = this.differences;
    return () => {
      document.querySelector("[data-differences]").checked = checked;
    };
  }
}

PairwiseDesk.opens();

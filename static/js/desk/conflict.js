// Where the server has other answers than this page, from another tab: somebody chooses which go on.
import { post } from "./requests.js";

export class Conflict {
  constructor(desk) {
    this.desk = desk;
  }

  get open() {
    return this.desk.find("#stale").open;
  }

  stale(error, sent) {
    const { draft } = this.desk;
    const theirs = this.desk.named(error.current);
    const own = [sent, ...draft.unanswered].find((one) => this.desk.alike(theirs, Object.fromEntries(JSON.parse(one))));
    if (own) { // our own save, whose answer got lost on the way
      draft.unanswered = [];
      draft.took(error.current.revision, own);
      return;
    }
    draft.show("stale");
    this.choose({
      text: `This ${this.desk.words.answer} was changed in another tab or window. ` +
        "Choose which one goes on; nothing is thrown away before you do.",
      theirs,
      mine: this.desk.values(),
      take: () => {
        this.desk.fill(theirs);
        draft.took(error.current.revision, draft.now());
      },
      keep: () => {
        draft.revision = error.current.revision;
        if (this.desk.correcting) this.desk.submit();
        else draft.save({ overwrite: true });
      },
    });
  }

  choose({ text, theirs, mine, take, keep }) {
    const dialog = this.desk.find("#stale");
    if (this.open) return;
    this.desk.find("[data-stale-text]").textContent = text;
    for (const [name, answers] of [["theirs", theirs], ["mine", mine]]) {
      this.desk.find(`[data-stale-${name}]`).textContent = this.desk.textOf(answers);
      this.desk.find(`[data-stale-${name}-note]`).textContent = this.desk.inWords(answers);
    }
    const end = (act) => {
      dialog.close();
      act();
    };
    this.desk.find("[data-stale-take]").onclick = () => end(take);
    this.desk.find("[data-stale-keep]").onclick = () => end(keep);
    dialog.oncancel = (event) => event.preventDefault(); // a choice has to be made
    dialog.showModal();
  }

  alreadySubmitted(error) {
    const { draft } = this.desk;
    const theirs = this.desk.named(error.current);
    if (this.desk.alike(theirs, this.desk.values())) {
      draft.settled(draft.now());
      this.desk.lease.goOn();
      return;
    }
    draft.show("stale");
    this.choose({
      text: `You have submitted this ${this.desk.words.answer} already, from another tab, with other answers.`,
      theirs,
      mine: this.desk.values(),
      take: () => {
        draft.settled(draft.now());
        this.desk.lease.goOn();
      },
      keep: async () => {
        draft.revision = error.current.revision;
        try {
          await post(this.desk.data.correctUrl, this.desk.whole());
          draft.settled(draft.now());
          this.desk.lease.goOn();
        } catch (again) {
          draft.failed(again, draft.now());
        }
      },
    });
  }
}

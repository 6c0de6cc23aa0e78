from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from models_app import queries
from models_app.foundation.errors import GalleyError, Refused, StaleState
from models_app.foundation.roles import require
from models_app.gates import reporting, running
from models_app.gates.results import Verdict
from models_app.management import arguments
from models_app.management.verdicts import CODES, ERROR, VerdictCommand
from models_app.models import Comparison, GateRun, ModelVersion, PromptVersion, Release, Rollout
from models_app.models.releases import PRODUCTION, Environment, live_release
from models_app.releases import fuse
from models_app.releases.approvers import too_few_left
from models_app.releases.composing import (
    compose_release,
    origin_beside,
    submit_release,
    usual_decoding,
    usual_prompt,
    withdraw_release,
)
from models_app.releases.deploying import as_of, install_first_release, roll_back, start_deployment
from models_app.releases.waiting import JUDGED, REACHED, wait_for
from models_app.rollouts import stepping
from models_app.rollouts.telling import document, open_rollout_of, rollout_of

NOT_HERE = (
    "A release is approved or rejected by a person, on its page, who is asked for the password again. No command and "
    "no API token can do it."
)


class Command(VerdictCommand):
    help = (
        "Releases: list, show, compose, submit, wait, withdraw, start, hold, advance, roll back, and what was live at "
        "a moment. Ends with 0 where it was done or waiting came to a pass, 1 fail, 2 inconclusive, 3 error."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parsers = parser.add_subparsers(dest="act", required=True, metavar="ACT")

        def act(name: str, words: str, *, user: bool | None = None) -> CommandParser:
            made: CommandParser = parsers.add_parser(name, help=words, description=words)
            if user is not None:
                whom = "on whose behalf" if user else "on whose behalf; without it, the installation itself"
                made.add_argument("--user", required=user, help=whom)
            return made

        listing = act("list", "List releases, what waits first.")
        listing.add_argument("--state", choices=Release.State.values)
        listing.add_argument("--limit", type=int, default=30)
        listing.add_argument("--format", choices=["text", "json"], default="text")
        show = act("show", "One release with its evidence and decisions.")
        show.add_argument("release", type=int)
        show.add_argument("--format", choices=["text", "json"], default="text")
        compose = act("compose", "Compose a draft.", user=True)
        compose.add_argument("--model", type=int, required=True, help="number of the model version")
        compose.add_argument("--prompt", type=int, help="number of the prompt version [one that suits]")
        compose.add_argument(
            "--decoding",
            type=arguments.json_object('{"max_words": 50}'),
            default={},
            metavar="JSON",
            help='changes, as JSON: {"max_words": 50}',
        )
        compose.add_argument("--note", default="")
        submit = act(
            "submit", "Submit a release: its gates are judged, then it waits for approval.", user=True
        )
        submit.add_argument("release", type=int)
        submit.add_argument(
            "--comparison", type=int, help="number of the comparison [its newest with what is live]"
        )
        submit.add_argument("--note", default="", help="what changed, for the people who decide")
        wait = act(
            "wait",
            "Wait for a release, and end with 0 where it got there, 1 where it will not (blocked, rejected, failed …), "
            "2 where more evidence is needed or the time is over, 3 on an error.",
        )
        wait.add_argument("release", type=int)
        wait.add_argument(
            "--until", choices=list(REACHED), default=JUDGED,
            help="judged: its gates pass and it waits for approval; approved by people; live [judged]",
        )  # fmt: skip
        wait.add_argument("--timeout", type=float, default=3600, metavar="SECONDS", help="[3600]")
        wait.add_argument("--format", choices=sorted(reporting.FORMATS), default="text")
        wait.add_argument("--output", type=Path, metavar="FILE", help="where to write it [standard output]")
        withdraw = act("withdraw", "Take a draft or a waiting release back for good.", user=True)
        withdraw.add_argument("release", type=int)
        withdraw.add_argument("--reason", default="")
        start = act(
            "start",
            "Start the deployment of an approved release, or of a first draft where nothing was ever live.",
            user=False,
        )
        start.add_argument("release", type=int)
        back = act("rollback", "Make the release before live again.", user=False)
        back.add_argument("--reason", required=True)
        back.add_argument(
            "--to", type=int, metavar="RELEASE", help="further back, or although its files are missing"
        )
        back.add_argument("--environment", default=PRODUCTION)
        back.add_argument(
            "--canary", action="store_true", help="the release that rolls out; what is live stays live"
        )
        then = act("as-of", "What was live at a moment.")
        then.add_argument("moment", help="such as 2026-11-24T09:30")
        then.add_argument("--environment", default=PRODUCTION)
        rollout = act("rollout", "How the rollout of a release stands, or ended.")
        rollout.add_argument("release", type=int)
        rollout.add_argument("--format", choices=["text", "json"], default="text")
        hold = act("hold", "Hold a rollout: it keeps its share of the requests and gets no more.", user=False)
        hold.add_argument("release", type=int)
        hold.add_argument("--reason", required=True)
        act("resume", "Let a rollout go on that somebody holds.", user=False).add_argument(
            "release", type=int
        )
        advance = act(
            "advance",
            "Give a release its next share, where everything holds that the policy asks for.",
            user=False,
        )
        advance.add_argument("release", type=int)
        lift = act(
            "lift-fuse",
            "Let releases start again after too many rollbacks in a day; by an approver.",
            user=True,
        )
        lift.add_argument("--reason", required=True)
        lift.add_argument("--environment", default=PRODUCTION)
        for name in ("approve", "reject"):
            act(name, "Not from the command line: " + NOT_HERE).add_argument("release", nargs="*")

    def handle(self, *args: Any, **options: Any) -> None:
        act = getattr(self, "_" + options["act"].replace("-", "_"))
        try:
            act(options)
        except GalleyError as error:
            raise CommandError(error.message, returncode=ERROR) from error

    # ---------------------------------------------------------------- looking

    def _list(self, options: dict[str, Any]) -> None:
        rows = queries.releases("all" if options["state"] else "")
        if options["state"]:
            rows = rows.filter(state=options["state"])
        found = list(rows[: max(0, options["limit"])])
        if options["format"] == "json":
            self.stdout.write(json.dumps([_values(release) for release in found], indent=2, default=str))
            return
        for release in found:
            verdict = f"  {release.comparison.verdict}" if release.comparison else ""
            self.stdout.write(
                f"{release.pk:>5}  {release.state:<17}  {release.model_version.name}, {release.prompt_version}{verdict}"
            )

    def _show(self, options: dict[str, Any]) -> None:
        release = self._release(options["release"])
        document = queries.evidence_document(release)
        if options["format"] == "json":
            values = {**_values(release), **document}
            self.stdout.write(json.dumps(values, indent=2, ensure_ascii=False, default=str))
            return
        self.stdout.write(f"Release {release.pk}: {release.state}")
        self.stdout.write(f"  model     {release.model_version}")
        self.stdout.write(f"  prompt    {release.prompt_version}")
        self.stdout.write(f"  decoding  {json.dumps(release.decoding)}")
        self.stdout.write(f"  digest    {release.digest}")
        if release.comparison is not None:
            self.stdout.write(f"  compared  {release.comparison.verdict}. {release.comparison.sentence}")
        for row in document["decisions"]:
            void = ", void" if row["voided_at"] else ""
            self.stdout.write(f"  {row['decision']} by {row['by']}{void}: {row['reason']}")
        for words in (document["problem"], too_few_left(release)):
            if words:
                self.stdout.write(f"  {words}")

    def _as_of(self, options: dict[str, Any]) -> None:
        try:
            moment = parse_datetime(options["moment"])
        except ValueError:
            moment = None
        if moment is None:
            raise CommandError(f"{options['moment']!r} is no date and time; write it as 2026-11-24T09:30.")
        if timezone.is_naive(moment):
            moment = timezone.make_aware(moment)
        found = as_of(environment=self._environment(options["environment"]), at=moment)
        if found is None:
            self.stdout.write(f"{moment:%Y-%m-%d %H:%M:%S %Z}: nothing was live.")
            return
        since = f"{timezone.localtime(found.live_from):%Y-%m-%d %H:%M:%S}"
        until = f"{timezone.localtime(found.live_to):%Y-%m-%d %H:%M:%S}" if found.live_to else "now"
        release = found.release
        self.stdout.write(
            f"{moment:%Y-%m-%d %H:%M:%S %Z}: release {release.pk}, {release.model_version.name} with "
            f"{release.prompt_version}, live from {since} to {until}."
        )

    def _rollout(self, options: dict[str, Any]) -> None:
        if options["format"] == "json":
            told = document(rollout_of(self._release(options["release"])))
            self.stdout.write(json.dumps(told, indent=2, default=str))
            return
        self._tell_rollout(options["release"])

    def _tell_rollout(self, release: int) -> None:
        told = document(rollout_of(self._release(release)))
        self.stdout.write(
            f"Release {release}: {told['state']}, {told['weight']} % of the requests, step {told['step']} of "
            f"{told['steps']}, beside release {told['beside']}"
        )
        for reason in told["reasons"]:
            self.stdout.write(f"  {reason}")
        for look in told["looks"]:
            stops = "no count stops it" if look["stops_at"] is None else f"{look['stops_at']:,} stop it"
            self.stdout.write(
                f"  {look['measure']:<11} {look['canary_events']:,} of {look['canary_requests']:,}, live "
                f"{look['live_events']:,} of {look['live_requests']:,}; {stops}"
            )
        self.stdout.write(f"  fuse: {told['fuse_used']} of {told['fuse_allowed']} rollbacks in a day")

    # ---------------------------------------------------------------- changing

    def _compose(self, options: dict[str, Any]) -> None:
        model = ModelVersion.objects.select_related("training_run").filter(pk=options["model"]).first()
        if model is None:
            raise CommandError(f"There is no model {options['model']}.")
        live = live_release()
        prompt = usual_prompt(model, live)
        if options["prompt"] is not None:
            prompt = PromptVersion.objects.select_related("prompt").filter(pk=options["prompt"]).first()
        if prompt is None:
            raise CommandError("There is no such prompt version; see the Prompts page for their numbers.")
        release = compose_release(
            model_version=model,
            prompt_version=prompt,
            decoding={**usual_decoding(model, live), **options["decoding"]},
            origin=origin_beside(live, model_version=model, prompt_version=prompt),
            note=options["note"],
            actor=arguments.actor(options["user"]),
        )
        self.stdout.write(f"Release {release.pk} is {release.state}.")

    def _submit(self, options: dict[str, Any]) -> None:
        release = self._release(options["release"])
        submit_release(
            release=release,
            comparison=self._comparison(release, options["comparison"]),
            note=options["note"],
            actor=arguments.actor(options["user"]),
        )
        run = running.newest(release)
        by = f"; job {run.job_id} judges its gates" if run is not None and run.state in run.ACTIVE else ""
        self.stdout.write(f"Release {release.pk} is {release.state}{by}.")

    def _comparison(self, release: Release, number: int | None) -> Comparison:
        rows = Comparison.objects.select_related("candidate", "baseline")
        if number is not None:
            found = rows.filter(pk=number).first()
            if found is None:
                raise CommandError(f"There is no comparison {number}.")
            return found
        rows = rows.filter(candidate__release=release)
        live = live_release(release.environment.name)
        found = (rows.filter(baseline__release=live) if live is not None else rows).first()
        if found is None:
            raise CommandError(
                f"Release {release.pk} was not compared with what is live. Run: evaluate --candidate {release.pk}"
            )
        return found

    def _withdraw(self, options: dict[str, Any]) -> None:
        release = self._release(options["release"])
        withdraw_release(release=release, reason=options["reason"], actor=arguments.actor(options["user"]))
        self.stdout.write(f"Release {release.pk} is {release.state}.")

    def _wait(self, options: dict[str, Any]) -> None:
        release = self._release(options["release"])
        until = options["until"]
        verdict = wait_for(
            release=release, until=until, seconds=options["timeout"],
            look=lambda now: self._looked_at(now, until),
        )  # fmt: skip
        run = (
            GateRun.objects.filter(release=release)
            .select_related("release__environment", "comparison", "policy")
            .first()
        )
        if run is None:
            if options["format"] != "text" or options["output"]:
                raise Refused(f"Release {release.pk} is {release.state}, and no gate has judged it.")
            self.stdout.write(f"Release {release.pk} is {release.state}; no gate has judged it.")
        else:
            url = f"{settings.PUBLIC_URL}{reverse('release_gates', args=[release.pk])}"
            text = reporting.FORMATS[options["format"]](reporting.report_of(run, url=url))
            self.write(text, options["output"], said=release.state)
        if verdict != Verdict.PASS:
            why = f" {release.reason}" if release.reason else ""
            self.stderr.write(
                f"Release {release.pk}: {release.state}. It was waited for until it is {until}: {verdict}.{why}"
            )
        self.end(CODES[verdict])

    def _looked_at(self, release: Release, until: str) -> None:
        self.stderr.write(f"release {release.pk}: {release.state}")
        too_few = "" if until == JUDGED else too_few_left(release)
        if too_few:
            self.stderr.write(f"release {release.pk}: {too_few}")

    def _hold(self, options: dict[str, Any]) -> None:
        rollout = open_rollout_of(self._release(options["release"]))
        stepping.pause(rollout=rollout, actor=arguments.actor(options["user"]), reason=options["reason"])
        self._tell_rollout(options["release"])

    def _resume(self, options: dict[str, Any]) -> None:
        rollout = open_rollout_of(self._release(options["release"]))
        stepping.resume(rollout=rollout, actor=arguments.actor(options["user"]))
        self._tell_rollout(options["release"])

    def _advance(self, options: dict[str, Any]) -> None:
        rollout = open_rollout_of(self._release(options["release"]))
        stepping.advance(rollout=rollout, actor=arguments.actor(options["user"]))
        self._tell_rollout(options["release"])

    def _lift_fuse(self, options: dict[str, Any]) -> None:
        environment = self._environment(options["environment"])
        fuse.lift(environment=environment, actor=arguments.actor(options["user"]), reason=options["reason"])
        self.stdout.write(f"Releases start in {environment} again.")

    def _start(self, options: dict[str, Any]) -> None:
        release = self._release(options["release"])
        actor = arguments.actor(options["user"])
        if release.state in (Release.State.WARMING, *Release.ROLLING_OUT, Release.State.LIVE):
            require(actor, "deploy")  # its last approval started it
            self.stdout.write(f"Release {release.pk} is {release.state} already.")
            return
        if release.state == Release.State.DRAFT:
            require(actor, "deploy")
            install_first_release(release=release)
        else:
            start_deployment(release=release, actor=actor)
        self.stdout.write(f"Release {release.pk} is {release.state}; it goes live when its model answers.")

    def _rollback(self, options: dict[str, Any]) -> None:
        if options["canary"]:
            self._roll_back_canary(options)
            return
        deployment = roll_back(
            environment=self._environment(options["environment"]),
            actor=arguments.actor(options["user"]),
            reason=options["reason"],
            to=options["to"],
        )
        self.stdout.write(f"Release {deployment.release_id} is live again.")

    def _roll_back_canary(self, options: dict[str, Any]) -> None:
        if options["to"] is not None:
            raise CommandError(
                "--canary leaves live what is live; --to is for rolling the live release back."
            )
        environment = self._environment(options["environment"])
        rollout = Rollout.objects.filter(environment=environment, ended_at=None).first()
        if rollout is None:
            raise StaleState(f"No release is rolling out in {environment}.")
        stepping.roll_back(rollout=rollout, actor=arguments.actor(options["user"]), reason=options["reason"])
        self.stdout.write(
            f"Release {rollout.release_id} is rolled back; release {rollout.beside_id} has all requests."
        )

    def _approve(self, options: dict[str, Any]) -> None:
        raise CommandError(NOT_HERE)

    _reject = _approve

    # ---------------------------------------------------------------- finding

    def _release(self, number: int) -> Release:
        release = (
            Release.objects.select_related(
                "model_version", "prompt_version__prompt", "environment", "comparison"
            )
            .filter(pk=number)
            .first()
        )
        if release is None:
            raise CommandError(f"There is no release {number}.")
        return release

    def _environment(self, name: str) -> Environment:
        environment = Environment.objects.filter(name=name).first()
        if environment is None:
            raise CommandError(f"There is no environment {name!r}.")
        return environment


def _values(release: Release) -> dict[str, Any]:
    return {
        "id": release.pk,
        "state": release.state,
        "origin": release.origin,
        "model_version": release.model_version_id,
        "model": release.model_version.name,
        "prompt": str(release.prompt_version),
        "decoding": release.decoding,
        "digest": release.digest,
        "comparison": release.comparison_id,
        "verdict": release.comparison.verdict if release.comparison is not None else None,
        "created_at": release.created_at,
        "submitted_at": release.submitted_at,
    }

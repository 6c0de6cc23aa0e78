from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from models_app import queries
from models_app.foundation.errors import GalleyError
from models_app.foundation.roles import require
from models_app.gates import running
from models_app.management import arguments
from models_app.models import Comparison, ModelVersion, PromptVersion, Release
from models_app.models.releases import PRODUCTION, Environment, live_release
from models_app.releases.composing import (
    compose_release,
    origin_beside,
    submit_release,
    usual_decoding,
    usual_prompt,
    withdraw_release,
)
from models_app.releases.deploying import as_of, install_first_release, roll_back, start_deployment

NOT_HERE = (
    "A release is approved or rejected by a person, on its page, who is asked for the password again. No command and "
    "no API token can do it."
)


class Command(BaseCommand):
    help = "Releases: list, show, compose, submit, withdraw, start, roll back, and what was live at a moment."

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
            "--decoding", type=json.loads, default={}, help='changes, as JSON: {"max_words": 50}'
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
        then = act("as-of", "What was live at a moment.")
        then.add_argument("moment", help="such as 2026-11-24T09:30")
        then.add_argument("--environment", default=PRODUCTION)
        for name in ("approve", "reject"):
            act(name, "Not from the command line: " + NOT_HERE).add_argument("release", nargs="*")

    def handle(self, *args: Any, **options: Any) -> None:
        act = getattr(self, "_" + options["act"].replace("-", "_"))
        try:
            act(options)
        except GalleyError as error:
            raise CommandError(error.message) from error

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
        if document["problem"]:
            self.stdout.write(f"  {document['problem']}")

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
        if not isinstance(options["decoding"], dict):
            raise CommandError('--decoding takes an object, such as {"max_words": 50}.')
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

    def _start(self, options: dict[str, Any]) -> None:
        release = self._release(options["release"])
        actor = arguments.actor(options["user"])
        if release.state == Release.State.DRAFT:
            require(actor, "deploy")
            install_first_release(release=release)
        else:
            start_deployment(release=release, actor=actor)
        self.stdout.write(f"Release {release.pk} is {release.state}; it goes live when its model answers.")

    def _rollback(self, options: dict[str, Any]) -> None:
        deployment = roll_back(
            environment=self._environment(options["environment"]),
            actor=arguments.actor(options["user"]),
            reason=options["reason"],
            to=options["to"],
        )
        self.stdout.write(f"Release {deployment.release_id} is live again.")

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

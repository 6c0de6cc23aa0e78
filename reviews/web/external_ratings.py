"""Imports of ratings on their pages: which value of a record is what, and who its raters are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.http import HttpRequest

from models_app.foundation.errors import InvalidInput
from models_app.web.fields import field_of
from reviews.external_ratings import rows as rating_rows
from reviews.external_ratings.imports import RATINGS, looked
from reviews.external_ratings.options import Options, criteria_of, rubric_of
from reviews.models import Criterion, RatingImport
from reviews.web.ingest.import_pages import MAPPED, ImportPages, MappingForm, addresses

KINDS = (("reviews", "ratings and edits of one summary"), ("pairwise", "choices between two summaries"))
LABELS = {
    "text": "Article", "external_id": "Id of the article", "title": "Title", "domain": "Domain",
    "reference": "Reference summary", "summary": "Summary", "system": "What wrote it", "rater": "Rater",
    "stars": "Stars", "verdict": "Verdict", "edited_text": "Corrected summary", "comment": "Comment", "at": "Time",
    "before": "Summary before", "after": "Summary after", "before_system": "What wrote the one before",
    "after_system": "What wrote the one after", "choice": "Choice", "strength": "Strength",
}  # fmt: skip


class FileForm(forms.Form):
    kind = forms.ChoiceField(choices=KINDS, label="It holds")
    file = forms.FileField(label="File", help_text="JSON Lines, a JSON list, CSV, TSV or Parquet")


class RatingsForm(MappingForm):
    """Each field of the mapping offers the paths that were found in the file."""

    low = forms.FloatField(initial=1, label="Numbers from")
    high = forms.FloatField(initial=5, label="to")
    rounding = field_of(
        Options,
        "rounding",
        label="Round to the nearest point",
        help_text="Else numbers between two points are refused.",
    )
    propose = field_of(
        Options,
        "propose",
        initial=True,
        label="Propose edits as examples",
        help_text="They wait to be decided on.",
    )
    raters = forms.CharField(
        required=False, label="Names of raters", widget=forms.Textarea(attrs={"rows": 3}),
        help_text="A line for each: value=name. They become accounts that cannot sign in.",
    )  # fmt: skip
    queue = field_of(Options, "queue", label="Queue", help_text="By the file’s name unless given.")
    origin = field_of(Options, "origin", label="Origin", help_text="Of new articles.")
    licence = field_of(Options, "licence", label="Licence", help_text="Of new articles.")

    def __init__(self, *args: Any, kind: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kind = kind
        names = [*rating_rows.DOCUMENT_FIELDS, *rating_rows.KINDS[kind]]
        labels = dict(LABELS)
        if kind == "reviews":
            criteria = Criterion.objects.filter(rubric=rubric_of(Options()))
            questions = {f"{rating_rows.RATING}{one.key}": one.name for one in criteria}
            labels |= questions
            at = names.index("stars")
            names[at:at] = questions
        else:
            del self.fields["propose"], self.fields["low"], self.fields["high"], self.fields["rounding"]
        offered = {"list": "paths", "autocapitalize": "off", "autocomplete": "off"}
        for name in names:
            field = forms.CharField(
                max_length=300,
                required=name in rating_rows.NEEDED[kind],
                label=labels[name],
                widget=forms.TextInput(attrs=offered),
            )
            self.mapped(name, field)

    def mapping(self) -> dict[str, str]:
        return {name: path.strip() for name, path in super().mapping().items() if path.strip()}

    def also_named(self, name: str) -> str:
        return "low" if name == "scale" else name

    def clean_raters(self) -> dict[str, str]:
        found = {}
        for line in self.cleaned_data["raters"].splitlines():
            value, sign, name = line.partition("=")
            if line.strip() and not (sign and value.strip() and name.strip()):
                raise forms.ValidationError(f"{line[:40]!r}: write value=name.")
            if line.strip():
                found[value.strip()] = name.strip()
        return found


class RatingPages(ImportPages[RatingImport, Options]):
    kind = RATINGS
    name = "rating_import"
    templates = "reviews/external_ratings"
    seen_by = RATINGS.needs
    submitted_word = "File"
    rows_become = "ratings"
    repeated_word = "There already"

    def upload_forms(self, request: HttpRequest) -> dict[str, forms.Form]:
        return {"form": FileForm(request.POST, request.FILES) if request.method == "POST" else FileForm()}

    def options_of_file(self, form: forms.Form) -> Options:
        return Options(kind=form.cleaned_data["kind"])

    def mapping_form(self, row: RatingImport, data: Mapping[str, Any] | None = None) -> RatingsForm:
        options = self.kind.options_of(row)
        guessed = rating_rows.guess(row.sample["paths"], criteria_of(options), options.kind)
        mapping = options.mapping or guessed
        same = ("rounding", "propose", "queue", "origin", "licence")
        initial = {
            **{f"{MAPPED}{name}": path for name, path in mapping.items()},
            **{name: getattr(options, name) for name in same},
            "low": options.scale[0],
            "high": options.scale[1],
            "raters": "\n".join(f"{value}={name}" for value, name in options.raters.items()),
        }
        return RatingsForm(data, initial=initial, kind=options.kind)

    def options_of_mapping(self, row: RatingImport, form: MappingForm) -> Options:
        values = form.cleaned_data
        return Options(
            kind=self.kind.options_of(row).kind,
            mapping=form.mapping(),
            scale=(values.get("low", 1.0), values.get("high", 5.0)),
            rounding=values.get("rounding", False),
            raters=values["raters"],
            queue=values["queue"],
            origin=values["origin"],
            licence=values["licence"],
            propose=values.get("propose", True),
        )

    def preview(self, row: RatingImport, form: MappingForm) -> dict[str, Any]:
        if form.is_bound and form.is_valid():
            options = self.options_of_mapping(row, form)
        else:
            kind = self.kind.options_of(row).kind
            rounding = "rounding" in form.fields and bool(form["rounding"].value())
            options = Options(kind=kind, mapping=form.mapping(), rounding=rounding)
        try:
            return {"rows": looked(sample=row.sample, options=options)}
        except InvalidInput as error:
            return {"problems": [(self.label(name), words) for name, words in error.fields.items()]}

    def label(self, name: str) -> str:
        return LABELS.get(name, name.removeprefix(rating_rows.RATING))


urlpatterns = addresses(RatingPages())

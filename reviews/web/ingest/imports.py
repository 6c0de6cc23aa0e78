"""Imports of documents on their pages: from a file or a data set, with a report to download."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path
from django.views.decorators.http import require_safe

from models_app.foundation.errors import InvalidInput
from models_app.web.fields import field_of
from models_app.web.pages import capability
from reviews.ingest import twins
from reviews.ingest.columns import OTHER, guess_columns
from reviews.ingest.imports import DOCUMENTS, ImportOptions, sample_rows
from reviews.ingest.sources.files import FORMATS
from reviews.models import ImportBatch, SourceDocument
from reviews.web.ingest.import_pages import MAPPED, ROWS_SHOWN, ImportPages, MappingForm, addresses

FIELDS = (
    ("text", "Article", "what is summarised"),
    ("reference", "Reference summary", "what evaluations compare with"),
    ("title", "Title", ""),
    ("external_id", "Id", "found again by it"),
    ("domain", "Domain", "news, business …"),
    ("group_key", "Group", "documents of one group share their split"),
    ("licence", "Licence", ""),
)
_LABELS = {name: label for name, label, _ in FIELDS}


class FileForm(forms.Form):
    format = forms.ChoiceField(
        required=False, choices=[("", "by its name and content"), *FORMATS.items()], label="Format"
    )
    file = forms.FileField(label="File", help_text="JSON Lines, a JSON list, CSV, TSV or Parquet")


class HubForm(forms.Form):
    hub = field_of(
        ImportOptions,
        "hub",
        required=True,
        label="Data set",
        help_text="Its name on Hugging Face, such as abisee/cnn_dailymail.",
        widget=forms.TextInput(attrs={"placeholder": "abisee/cnn_dailymail", "autocapitalize": "off"}),
    )
    config = field_of(ImportOptions, "config", label="Configuration", help_text="CNN/DailyMail: 3.0.0")
    split = field_of(
        ImportOptions,
        "split",
        label="Part",
        help_text="train unless given. Galley splits by itself, whatever the part is called.",
    )


class OptionsForm(MappingForm):
    domain = field_of(ImportOptions, "domain", help_text="For rows that name none.")
    licence = field_of(ImportOptions, "licence", help_text="For rows that name none.")
    origin = field_of(ImportOptions, "origin", help_text="Where it is from; the file's name unless given.")
    limit = field_of(ImportOptions, "limit", label="Rows", help_text="All unless given.")
    keep = forms.MultipleChoiceField(
        label="Other columns to keep",
        required=False,
        help_text="As fields of each document, by which results may be told apart. "
        f"At most {SourceDocument.MOST_FIELDS}.",
        widget=forms.CheckboxSelectMultiple(attrs={"class": "choices"}),
    )

    def __init__(self, *args: Any, columns: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [("", "– none –"), *((column, column) for column in columns)]
        self.fields["keep"].choices = choices[1:]  # type: ignore[attr-defined]
        for name, label, help_text in FIELDS:
            needed = name == "text"
            offered = choices[1:] if needed else choices
            self.mapped(
                name, forms.ChoiceField(choices=offered, required=needed, label=label, help_text=help_text)
            )


class DocumentPages(ImportPages[ImportBatch, ImportOptions]):
    kind = DOCUMENTS
    name = "document_import"
    templates = "reviews/ingest"
    seen_by = ("view_documents",)
    submitted_word = "File or data set"
    rows_become = "new documents"
    repeated_word = "Duplicates"

    def upload_forms(self, request: HttpRequest) -> dict[str, forms.Form]:
        sent = request.method == "POST"
        by_hub = sent and request.POST.get("from") == "hub"
        return {
            "file_form": FileForm(request.POST, request.FILES) if sent and not by_hub else FileForm(),
            "hub_form": HubForm(request.POST) if by_hub else HubForm(),
        }

    def submit(self, request: HttpRequest, form: forms.Form) -> ImportBatch:
        if isinstance(form, HubForm):
            options = ImportOptions(**form.cleaned_data)
            return self.kind.submit_data_set(options=options, actor=request.user)
        return super().submit(request, form)

    def options_of_file(self, form: forms.Form) -> ImportOptions:
        return ImportOptions(format=form.cleaned_data["format"])

    def mapping_form(self, row: ImportBatch, data: Mapping[str, Any] | None = None) -> OptionsForm:
        columns = row.sample["columns"]
        options = self.kind.options_of(row)
        # without the text where none can be told; the preview says so then
        mapping = guess_columns(tuple(columns), options.mapping)
        initial = {**asdict(options), **{f"{MAPPED}{name}": mapping.get(name, "") for name in _LABELS}}
        return OptionsForm(data, initial=initial, columns=columns)

    def options_of_mapping(self, row: ImportBatch, form: MappingForm) -> ImportOptions:
        said = {name: form.cleaned_data[name] for name in ("domain", "origin", "licence", "limit")}
        kept = tuple(form.cleaned_data["keep"])
        return replace(self.kind.options_of(row), mapping=form.mapping(), keep=kept, **said)

    def preview(self, row: ImportBatch, form: MappingForm) -> dict[str, Any]:
        try:
            _, rows = sample_rows(batch=row, mapping=form.mapping(), keep=form["keep"].value() or ())
        except InvalidInput as error:
            return {"problems": [("", error.message)]}
        return {"rows": rows}

    def label(self, name: str) -> str:
        return _LABELS.get(name, name.removeprefix(OTHER))

    def report(self, row: ImportBatch) -> dict[str, Any]:
        report = row.report
        return {
            "download": True,
            "repeated": report["repeated"][:ROWS_SHOWN],
            "joined": report["joined"][:ROWS_SHOWN],
            "splits": [(name, report["splits"].get(name, 0)) for name in ("train", "validation", "test")],
            "mapping": [(self.label(name), column) for name, column in report["mapping"].items()],
        }

    def list_context(self) -> dict[str, Any]:
        return {
            "least_words": settings.GALLEY_MIN_DOCUMENT_WORDS,
            "most_words": settings.GALLEY_MAX_DOCUMENT_WORDS,
            "offline": settings.GALLEY_OFFLINE,
        }


# ---------------------------------------------------------------- the report, to keep


class _Line:
    """What csv.writer writes to when every line is wanted at once."""

    def write(self, line: str) -> str:
        return line


def _report_lines(report: Mapping[str, Any]) -> Iterator[str]:
    writer = csv.writer(_Line())
    yield writer.writerow(["result", "row", "field", "reason", "document"])
    for row, name, reason in report.get("refused", []):
        yield writer.writerow(["refused", row, name, reason, ""])
    for row, document in report.get("repeated", []):
        yield writer.writerow(["duplicate", row, "", "the same text is there already", document])
    for row, document, twin, share, split in report.get("joined", []):
        reason = f"joins the {split} split: {twins.percent(share)} % the same as document {twin}"
        yield writer.writerow(["joined", row, "", reason, document])


@require_safe
@capability("view_documents")
def report_csv(request: HttpRequest, pk: int) -> Any:
    batch = get_object_or_404(ImportBatch, pk=pk)
    answer = StreamingHttpResponse(_report_lines(batch.report), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="import-{pk}.csv"'
    return answer


@require_safe
@capability("view_documents")
def report_json(request: HttpRequest, pk: int) -> HttpResponse:
    batch = get_object_or_404(ImportBatch, pk=pk)
    report = {key: value for key, value in batch.report.items() if key != "sample"}
    answer = JsonResponse({"name": batch.name, "options": batch.options, "report": report})
    answer["Content-Disposition"] = f'attachment; filename="import-{pk}.json"'
    return answer


urlpatterns = [
    *addresses(DocumentPages()),
    path("<int:pk>/report.csv", report_csv, name="document_import_report_csv"),
    path("<int:pk>/report.json", report_json, name="document_import_report_json"),
]

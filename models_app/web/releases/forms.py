"""What people give with a decision on a release, and what they say about it."""

from __future__ import annotations

from typing import Any

from django import forms

from models_app.models import Release
from models_app.releases.approving import confirmation
from models_app.releases.commenting import LONGEST_COMMENT
from models_app.releases.composing import LONGEST_REASON
from models_app.web.proof import ProofForm


class DecisionForm(ProofForm):
    reason = forms.CharField(
        max_length=LONGEST_REASON, widget=forms.Textarea(attrs={"rows": 3}), help_text="The record keeps it."
    )
    said = forms.CharField(
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    evidence_digest = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, data: Any = None, *, release: Release, user: Any) -> None:
        super().__init__(data, initial={"evidence_digest": release.evidence_digest}, user=user)
        sentence = confirmation(release)
        if sentence:
            self.fields["said"].label = f"To approve, type “{sentence}”"
            self.fields[
                "said"
            ].help_text = "It is not an improvement. To reject or ask for changes, leave it empty."
        else:
            del self.fields["said"]


class ReviewForm(ProofForm):
    """Of an emergency, afterwards."""

    reason = forms.CharField(
        label="What you found",
        max_length=LONGEST_REASON,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Was it right not to wait? Say what you looked at, and what follows from it.",
    )
    field_order = ("reason",)


class CommentForm(forms.Form):
    text = forms.CharField(
        label="Comment",
        max_length=LONGEST_COMMENT,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="All who see the release read it; nobody changes it afterwards.",
    )

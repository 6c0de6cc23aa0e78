from __future__ import annotations

from typing import Self

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector
from django.db import models
from django.db.models import OuterRef, Q
from django.db.models.functions import Left
from django.utils import timezone

from reviews.models.imports import ImportBatch

# What a search in the documents looks at: titles, and the beginning for those that have none. The whole text would
# make an import several times slower.
SEARCHED = SearchVector("title", Left("text", 200), config="simple")


class Split(models.TextChoices):
    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class SourceDocument(models.Model):
    """An article. Its split is set when it comes in and never changes; a database trigger holds that."""

    LONGEST_TITLE_CHARACTERS = 300
    LONGEST_DOMAIN_CHARACTERS = 40
    #: Of an id, a group, an origin, a licence.
    LONGEST_LABEL_CHARACTERS = 120
    MOST_FIELDS = 10

    title = models.CharField(max_length=LONGEST_TITLE_CHARACTERS, blank=True)
    text = models.TextField()
    domain = models.CharField(max_length=LONGEST_DOMAIN_CHARACTERS, default="other")
    language = models.CharField(max_length=8, blank=True)
    origin = models.CharField(
        max_length=LONGEST_LABEL_CHARACTERS,
        blank=True,
        help_text="where it came from: a file, a data set, the API",
    )
    licence = models.CharField(max_length=LONGEST_LABEL_CHARACTERS, blank=True)
    external_id = models.CharField(max_length=LONGEST_LABEL_CHARACTERS, blank=True, db_index=True)
    group_key = models.CharField(
        max_length=LONGEST_LABEL_CHARACTERS, blank=True, help_text="documents of one group share their split"
    )
    fields = models.JSONField(
        default=dict, help_text="what else is known of it, by name: slices of test sets may be cut by it"
    )
    content_hash = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the normalised text")
    split = models.CharField(max_length=10, choices=Split)
    reference = models.TextField(blank=True, help_text="a reference summary, one sentence a line")
    words = models.PositiveIntegerField()
    twin = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="the document with nearly the same text whose split it joined when it came in",
    )
    twin_share = models.FloatField(
        null=True, blank=True, help_text="0–1: how much of the shorter one's text is in the other"
    )
    sketch = models.BinaryField(
        null=True,
        help_text="the 64 lowest hashes of its words (`models_app.texts`); null where nothing is compared with it yet",
    )
    batch = models.ForeignKey(
        ImportBatch, null=True, blank=True, on_delete=models.PROTECT, related_name="documents"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["split", "-id"], name="document_split"),
            models.Index(fields=["domain", "-id"], name="document_domain"),
            models.Index(fields=["origin", "-id"], name="document_origin"),
            GinIndex(SEARCHED, name="document_search"),
            models.Index(fields=["id"], condition=Q(sketch=None), name="document_unsketched"),
        ]
        constraints = [
            models.CheckConstraint(condition=~Q(text=""), name="document_has_text"),
            models.CheckConstraint(
                condition=Q(twin=None, twin_share=None) | Q(twin__isnull=False, twin_share__isnull=False),
                name="document_twin_has_share",
            ),
        ]

    def __str__(self) -> str:
        return self.title or f"document {self.pk}"


class SketchHash(models.Model):
    """One of the hashes by which documents with nearly the same text are found (`models_app.texts.near_duplicates`).

    Written with its document, in the same transaction, 16 a document; looked up by hash alone. Therefore the key is its
    only index, test documents first, and no constraint asks for the document once more."""

    pk = models.CompositePrimaryKey("hash", "learnt", "document_id")
    hash = models.BigIntegerField()
    learnt = models.BooleanField(help_text="False for test documents")
    document = models.ForeignKey(
        SourceDocument, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )


class ReferenceHash(models.Model):
    """One of the hashes by which is found what quotes a reference of a test document: one that the document came with,
    or one of a test set. 8 a reference, looked up by hash alone."""

    pk = models.CompositePrimaryKey("hash", "document_id")
    hash = models.BigIntegerField()
    document = models.ForeignKey(
        SourceDocument, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )


class PairQuerySet(models.QuerySet["NearDuplicate"]):
    def with_a_test_document(self, of: str) -> Self:
        """Pairs of a document, of which the outer query has the key under this name, and a test document."""
        return self.filter(
            Q(earlier=OuterRef(of), later__split=Split.TEST)
            | Q(later=OuterRef(of), earlier__split=Split.TEST)
        )


class NearDuplicate(models.Model):
    """Two documents with nearly the same text, counted out on their words."""

    earlier = models.ForeignKey(
        SourceDocument, on_delete=models.PROTECT, related_name="later_twins", db_index=False
    )
    later = models.ForeignKey(SourceDocument, on_delete=models.PROTECT, related_name="earlier_twins")
    share = models.FloatField(help_text="0–1: how much of the shorter one's text is in the other")

    objects = PairQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["earlier", "later"], name="near_duplicate_once"),
            models.CheckConstraint(
                condition=Q(earlier__lt=models.F("later")), name="near_duplicate_earlier_first"
            ),
        ]


class Summary(models.Model):
    """What a model wrote for a document. Never overwritten: corrections are reviews that lie over it."""

    class Source(models.TextChoices):
        BATCH = "batch"
        API = "api"
        PLAYGROUND = "playground"
        IMPORT = "import"
        EVALUATION = "evaluation"

    document = models.ForeignKey(SourceDocument, on_delete=models.PROTECT, related_name="summaries")
    release = models.ForeignKey(
        "models_app.Release", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    model_version = models.ForeignKey(
        "models_app.ModelVersion", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    prompt_version = models.ForeignKey(
        "models_app.PromptVersion", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    system = models.CharField(
        max_length=120,
        blank=True,
        default="",
        db_default="",
        help_text="imports: the name of what wrote it, where it is no release",
    )
    text = models.TextField()
    decoding = models.JSONField(default=dict)
    source = models.CharField(max_length=12, choices=Source, default=Source.BATCH)
    request_id = models.UUIDField(
        null=True, blank=True, unique=True, help_text="the API request that asked for it"
    )
    latency_ms = models.FloatField(null=True, blank=True)
    words = models.PositiveIntegerField(default=0)
    truncated = models.BooleanField(default=False)
    total_tokens = models.PositiveIntegerField(null=True, blank=True, help_text="tokens of the whole article")
    kept_tokens = models.PositiveIntegerField(
        null=True, blank=True, help_text="tokens of it that the model read"
    )
    finish = models.CharField(max_length=10, blank=True)
    confidence = models.FloatField(
        null=True, blank=True, help_text="0–1, the model's own: the mean probability of its tokens"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["document", "release"], condition=Q(source="batch"), name="summary_once_per_release"
            )
        ]

    def __str__(self) -> str:
        return f"summary {self.pk}"

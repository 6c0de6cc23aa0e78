"""The machine side's tables: registry, prompts, data sets, training, evaluation, releases, requests, jobs, audit.

Knows nothing of rules that take more than a row: those are use cases.
"""

from models_app.models.access import ApiToken, Capability, ServiceAccount
from models_app.models.audit import AuditEvent
from models_app.models.availability import ServiceInterval
from models_app.models.cases import CaseResult, CaseRun, CaseSet, CaseSetVersion, CaseVersion
from models_app.models.datasets import DatasetSnapshot, EvaluationExample, EvaluationSet, SnapshotExample
from models_app.models.evaluation import (
    Comparison,
    ComparisonResult,
    EvaluationRun,
    ExampleScore,
    HumanVote,
)
from models_app.models.gates import GatePolicy, GateResult, GateRun, Waiver
from models_app.models.jobs import Job
from models_app.models.leakage import (
    CleanComparison,
    DeclaredTraining,
    FingerprintSet,
    LeakageCheck,
    LeakageFinding,
    PublicOccurrence,
    TextFingerprint,
)
from models_app.models.people import PasswordLink, Tries
from models_app.models.prompts import Prompt, PromptVersion
from models_app.models.registry import ModelVersion, WeightMatch, WeightTensor
from models_app.models.releases import (
    Approval,
    Deployment,
    Environment,
    Incident,
    Release,
    ReleaseComment,
    Route,
    Slot,
)
from models_app.models.requests import ClientFeedback, IdempotencyKey, InferenceRequest
from models_app.models.rollouts import FuseLift, Rollout, RolloutLook
from models_app.models.rollups import RequestRollup, RollupProgress
from models_app.models.training import TrainingMetric, TrainingRun
from models_app.models.webhooks import WebhookAttempt, WebhookDelivery, WebhookEndpoint

__all__ = [
    "ApiToken",
    "Approval",
    "AuditEvent",
    "Capability",
    "CaseResult",
    "CaseRun",
    "CaseSet",
    "CaseSetVersion",
    "CaseVersion",
    "CleanComparison",
    "ClientFeedback",
    "Comparison",
    "ComparisonResult",
    "DatasetSnapshot",
    "DeclaredTraining",
    "Deployment",
    "Environment",
    "EvaluationExample",
    "EvaluationRun",
    "EvaluationSet",
    "ExampleScore",
    "FingerprintSet",
    "FuseLift",
    "GatePolicy",
    "GateResult",
    "GateRun",
    "HumanVote",
    "IdempotencyKey",
    "Incident",
    "InferenceRequest",
    "Job",
    "LeakageCheck",
    "LeakageFinding",
    "ModelVersion",
    "PasswordLink",
    "Prompt",
    "PromptVersion",
    "PublicOccurrence",
    "Release",
    "ReleaseComment",
    "RequestRollup",
    "Rollout",
    "RolloutLook",
    "RollupProgress",
    "Route",
    "ServiceAccount",
    "ServiceInterval",
    "Slot",
    "SnapshotExample",
    "TextFingerprint",
    "TrainingMetric",
    "TrainingRun",
    "Tries",
    "Waiver",
    "WebhookAttempt",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WeightMatch",
    "WeightTensor",
]

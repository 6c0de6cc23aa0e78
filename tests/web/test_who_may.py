"""Every address that Galley has: who is let in. One without an entry here fails."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.cache import cache
from django.test import Client
from django.urls import get_resolver
from django.urls.resolvers import URLResolver

from models_app.foundation.tokens import SCOPE_CAPABILITIES
from models_app.models import ApiToken
from models_app.models.access import CAPABILITIES
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db

# Pages by what one must be allowed to do: "|" any of them, "&" all of them.
PAGES = {
    "review": (
        "desk desk_keys desk_single_keys desk_recent desk_older desk_newer desk_item desk_put_back desk_next desk_save "
        "desk_labels desk_keep desk_submit desk_correct desk_skip desk_undo desk_try desk_suggest pairwise "
        "pairwise_item pairwise_next pairwise_save pairwise_keep pairwise_submit pairwise_correct pairwise_take_back "
        "pairwise_skip my_feedback my_feedback_live how_i_rate gold_answer progress exports export_file export_cancel "
        "export_remove improvements improvement_new improvement improvement_vote improvement_decide improvement_answer"
    ),
    "manage_queues": (
        "queues queue_new rubrics rubric_new queue queue_settings queue_rules queue_rule_remove queue_people "
        "queue_unassign queue_take_back queue_item queue_assign queue_put_back queue_step_aside queue_send_back "
        "agreement agreement_compute disputes dispute dispute_points gold gold_new gold_retire gold_percent "
        "gold_round gold_invite"
    ),
    "manage_queues&view_models": "pairwise_new",
    "manage_queues&import_documents": (
        "rating_imports rating_import rating_import_preview rating_import_start rating_import_cancel "
        "rating_import_discard"
    ),
    "review|edit_prompts": "prompt_playground prompt_trial prompt_trial_cancel prompt_check",
    "review|edit_prompts|view_models": "prompts prompt_compare prompt_version prompt",
    "edit_prompts": "prompt_new prompt_version_new suggestion_adopt suggestion_decline",
    "view_documents": (
        "documents document document_import document_import_report_csv document_import_report_json"
    ),
    "import_documents": (
        "documents_draft documents_propose document_imports document_import_preview document_import_start "
        "document_import_cancel document_import_discard"
    ),
    "decide_feedback": (
        "feedback feedback_example feedback_article feedback_approve feedback_decline feedback_decide"
    ),
    "freeze_snapshot": "snapshot_freeze",
    "evaluate": (
        "test_set_freeze comparison_new case_set_new case_set_retire case_new case_edit case_retire "
        "release_cases_run"
    ),
    "evaluate&view_documents": "document_case",
    "view_models": (
        "snapshots snapshot snapshot_file test_set models model training training_run comparisons comparison "
        "comparison_document comparison_evidence releases release release_evidence release_card policies policy "
        "policy_version policy_changes release_gates waiver_end case_sets case_set case_set_history case case_run "
        "release_cases release_comment leakage leakage_finding public_sets"
    ),
    "train": "model_register training_new training_resume",
    "submit_release": "comparison_submit release_new release_withdraw release_gates_run waiver_ask",
    "approve_release": "release_decide incident_review waiver_agree fuse_lift",
    "edit_policy": "policy_edit",
    "view_monitoring": "monitoring deployments rollout jobs job job_cancel",
    "deploy": (
        "deployment_roll_back deployment_stop deployment_end_session rollout_pause rollout_resume rollout_advance "
        "rollout_roll_back"
    ),
    "manage_jobs": "job_retry",
    "view_audit": "audit audit_verify audit_csv audit_jsonl",
    "own_tokens|manage_tokens": "tokens",
    "manage_webhooks": (
        "webhooks webhook webhook_new webhook_change webhook_rotate webhook_test webhook_disable webhook_enable "
        "webhook_replay webhook_replay_given_up"
    ),
    "manage_people": (
        "people person person_new person_roles person_password_link person_deactivate person_activate "
        "person_end_sessions person_second_factor_remove"
    ),
    "own_tokens": "service_account_new",
}
# For everybody who is signed in; the use cases look at whose it is, or at what a conversation is about.
SIGNED_IN = (
    "home notifications notifications_bell notifications_read notification talk_item talk_item_people talk_prompt "
    "talk_prompt_people talk_thread talk_reply talk_resolve talk_reopen talk_edit training_cancel token_revoke "
    "service_account_close"
)
# From this machine alone: tests/api/test_metrics.py.
OPEN = "metrics schema api_docs"
# Of what allauth brings along; the rest asks who one is first.
OPEN_ACCOUNTS = (
    "account_login account_inactive account_signup account_email_verification_sent account_confirm_email"
)

API = {
    "summaries:write": "POST api_summaries, GET api_summary",
    "feedback:write": "POST api_summary_feedback",
    "documents:read": "GET api_documents, GET api_document",
    "documents:write": "POST api_documents",
    "reviews:write": (
        "GET api_queues, POST api_queue_next, POST api_item_renew, POST api_item_submit, POST api_item_skip, "
        "GET api_improvements, POST api_improvements, GET api_improvement"
    ),
    "comments:write": (
        "GET api_item_threads, POST api_item_threads, GET api_prompt_threads, POST api_prompt_threads, "
        "POST api_thread_comments, POST api_thread_resolve, POST api_thread_reopen, PUT api_comment"
    ),
    "exports:write": (
        "GET api_exports, POST api_exports, GET api_export, DELETE api_export, GET api_export_file"
    ),
    "training:write": "POST api_training_runs",
    "evaluations:write": "POST api_evaluations, POST api_comparisons",
    "releases:read": (
        "GET api_live_release, GET api_releases, GET api_release, GET api_release_evidence, GET api_release_gates, "
        "GET api_release_evidence_file, GET api_training_run, GET api_evaluation, GET api_comparison, GET api_job, "
        "GET api_release_card, GET api_release_rollout"
    ),
    "releases:submit": "POST api_releases, POST api_compose_release, POST api_release_withdraw",
    "releases:deploy": (
        "POST api_release_start, POST api_release_rollback, POST api_release_hold, POST api_release_resume, "
        "POST api_release_advance"
    ),
}


def addresses() -> Iterator[tuple[str, str, Any]]:
    """(path with something in each place, name, view) of everything; nothing there has these numbers."""

    def walk(resolver: Any, before: str) -> Iterator[tuple[str, Any]]:
        for one in resolver.url_patterns:
            path = before + str(one.pattern)
            if isinstance(one, URLResolver):
                yield from walk(one, path)
            else:
                yield path, one

    for path, pattern in walk(get_resolver(), "/"):
        found = re.sub(r"\(\?P<\w+>.+?\)(?=[-/])", "none", path.replace("^", "").rstrip("$"))
        found = re.sub(r"<uuid:\w+>", str(uuid.UUID(int=5)), re.sub(r"<int:\w+>", "999999", found))
        yield re.sub(r"<\w+:\w+>", "none", found), pattern.name or "", pattern.callback


def user(name: str, *capabilities: str) -> User:
    person = User.objects.create_user(name)
    held = Permission.objects.filter(content_type__model="capability", codename__in=capabilities)
    person.user_permissions.set(held)
    return person


def client(name: str, *capabilities: str) -> Client:
    signed_in = Client()
    signed_in.force_login(user(name, *capabilities))
    return signed_in


def is_sent_to_sign_in(path: str) -> bool:
    answer = Client().get(path)
    return answer.status_code == 302 and answer["Location"].startswith("/accounts/login/")


def test_pages_are_for_those_who_may_and_nobody_else() -> None:
    needs = {name: need for need, names in PAGES.items() for name in names.split()}
    needs |= dict.fromkeys(SIGNED_IN.split(), "")
    pages = {name: path for path, name, _ in addresses() if not re.match("/(api|accounts)/", path)}
    assert pages.keys() - set(OPEN.split()) == needs.keys(), "who may see these?"
    wrong = []
    for need in {*needs.values()}:
        parts = re.split(r"[|&]", need) if need else []
        enough = client(f"enough for {need}", *(parts if "&" in need else parts[:1]))
        short = [
            client(f"short of {lacks} {need}", *(CAPABILITIES.keys() - set(lacks)))
            for lacks in ([[part] for part in parts] if "&" in need else [parts] if parts else [])
        ]
        for name in (name for name, wanted in needs.items() if wanted == need):
            path = pages[name]
            if not is_sent_to_sign_in(path):
                wrong.append(f"{path} answers nobody")
            for other in short:
                refused = {ask(path).status_code for ask in (other.get, other.post)}
                if not refused <= {403, 405} or 403 not in refused:
                    wrong.append(f"{path} answers {refused} without {need}")
            if all(ask(path).status_code in (403, 405) for ask in (enough.get, enough.post)):
                wrong.append(f"{path} refuses somebody who has {need}")
    assert not wrong, "\n".join(wrong)


def test_accounts_ask_who_one_is() -> None:
    paths = {name: path for path, name, _ in addresses() if path.startswith("/accounts/")}
    closed = {name for name, path in paths.items() if is_sent_to_sign_in(path)}
    gone = {name for name, path in paths.items() if Client().get(path).status_code == 404}
    assert paths.keys() - closed - gone == set(OPEN_ACCOUNTS.split())


def test_each_call_of_the_api_needs_its_scope_and_its_users_role() -> None:
    cache.clear()
    needs = {call.strip(): scope for scope, calls in API.items() for call in calls.split(",")}
    methods = ("get", "post", "put", "patch", "delete")
    calls = {
        f"{method.upper()} {name}": path
        for path, name, view in addresses()
        if path.startswith("/api/v1/")
        for method in methods
        if hasattr(view.view_class, method)
    }
    assert calls.keys() == needs.keys(), "which scope do these need?"
    able = user("able", *CAPABILITIES)
    page = Client()
    page.force_login(able)
    for call, scope in needs.items():
        method, path = call.split()[0], calls[call]

        def status(token: str, method: str = method, path: str = path) -> int:
            return Client().generic(method, path, headers={"Authorization": token}).status_code

        others = set(ApiToken.SCOPES) - {scope}
        assert page.generic(method, path).status_code == 401, f"{call} by a page's session"
        assert status("Token none") == 401, call
        assert status(f"Token {Api(able, *others).token}") == 403, f"{call} without {scope}"
        assert status(f"Token {Api(able, scope).token}") not in (401, 403), f"{call} with {scope}"
        if scope in SCOPE_CAPABILITIES:
            losing = user(f"loses {call}", *CAPABILITIES)
            made = Api(losing, scope)
            losing.user_permissions.remove(
                *Permission.objects.filter(
                    content_type__model="capability", codename=SCOPE_CAPABILITIES[scope]
                )
            )
            assert status(f"Token {made.token}") == 403, f"{call} by somebody whose role allows it no more"

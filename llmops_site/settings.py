"""Django settings, composed from the typed environment of `env.py`. Nothing else reads environment variables."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import environ
import structlog
from csp.constants import NONE, SELF
from whitenoise.compress import Compressor

from llmops_site import embedded
from llmops_site.env import read_environment
from models_app.foundation.job_kinds import JobKind
from models_app.webhooks.targets import Inside

BASE_DIR = Path(__file__).resolve().parent.parent
ENV = read_environment(os.environ)
GALLEY_HOME: Path = ENV.home
VERSION = "0.1.0"

SECRET_KEY = ENV.secret_key
DEBUG: bool = ENV.debug
ALLOWED_HOSTS: list[str] = ENV.allowed_hosts
PUBLIC_URL: str = ENV.public_url or f"http://{ENV.host}:{ENV.port}"
HTTPS = PUBLIC_URL.startswith("https://")
if ENV.public_url:
    ALLOWED_HOSTS = [*ALLOWED_HOSTS, urlparse(PUBLIC_URL).hostname or ""]

INSTALLED_APPS = [
    "reviews",
    "models_app",
    "django.contrib.admin.apps.SimpleAdminConfig",  # nothing registers by itself: llmops_site/admin.py names the tables
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "csp",
    "django_htmx",
    "django_q",
    "django_structlog",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]

MIDDLEWARE = [
    "models_app.web.middleware.HealthMiddleware",
    "models_app.web.middleware.TurnsMiddleware",
    "models_app.web.middleware.DoorMiddleware",
    "models_app.web.middleware.ClientAddressMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "models_app.web.middleware.LoginRequiredMiddleware",
    "models_app.web.middleware.NotStoredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "models_app.web.middleware.ErrorPagesMiddleware",
    "models_app.web.middleware.NulMiddleware",
    "models_app.web.request_log.RequestLogMiddleware",
    "models_app.web.middleware.DatabaseAwayMiddleware",
]

ROOT_URLCONF = "llmops_site.urls"
WSGI_APPLICATION = "llmops_site.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "reviews.web.navigation.navigation",
            ],
            "builtins": ["models_app.templatetags.galley"],
        },
    }
]

# ---------------------------------------------------------------- database, cache, queue

if ENV.database_url:
    _database = environ.Env.db_url_config(ENV.database_url)
else:
    _database = embedded.connection_settings(GALLEY_HOME)
DATABASES = {
    "default": {
        **_database,
        "ENGINE": "models_app.foundation.postgresql",
        "OPTIONS": {
            **_database.get("OPTIONS", {}),
            # For a server that stops answering; models_app/foundation/postgresql says what else is for that.
            "connect_timeout": 2,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": 30_000,
        },
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "ATOMIC_REQUESTS": False,
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"


def caches(web_workers: int) -> dict[str, Any]:
    """One web process keeps allauth's limits in its own memory; several share them through the database. The API's are
    counted by `foundation/rates.py`."""
    return {
        "default": {
            **(
                {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
                if web_workers == 1
                else {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "galley_cache"}
            ),
            # Beyond this number any key may go, and with it what was counted under it.
            "OPTIONS": {"MAX_ENTRIES": 100_000},
        }
    }


CACHES = caches(ENV.web_workers)

# Queues and how many jobs each carries out at a time.
GALLEY_QUEUES = {"default": ENV.queue_workers, "training": 1}
_DAY = 24 * 3600
# The queue only transports job ids: `foundation.jobs` owns leases, attempts, deadlines and cancelling. Redelivery
# (retry) is therefore far away, results are not kept and failures are acknowledged.
_TIMEOUT = (ENV.training_hours + 1) * 3600
Q_CLUSTER = {
    "name": "default",
    "orm": "default",
    "workers": GALLEY_QUEUES["default"],
    "queue_limit": 1,
    "timeout": _TIMEOUT,
    "retry": _TIMEOUT * 3 + _DAY,
    "poll": 0.5,
    "save_limit": -1,
    "ack_failures": True,
    "max_attempts": 1,
    "catch_up": False,
    "guard_cycle": 2,
    "recycle": 500,
    "ALT_CLUSTERS": {
        "training": {
            "workers": 1,
            "queue_limit": 1,
            "timeout": _TIMEOUT,
            "retry": _TIMEOUT * 3 + _DAY,
            "poll": 0.5,
        }
    },
}
GALLEY_JOB_KINDS = {
    "prepare_workspace": JobKind(run="reviews.loop.sample_workspace.prepare_workspace", long=True),
    "import_documents": JobKind(run="reviews.jobs.import_documents", ended="reviews.jobs.import_ended"),
    "export": JobKind(run="reviews.jobs.export", ended="reviews.jobs.export_ended"),
    "import_ratings": JobKind(run="reviews.jobs.import_ratings", ended="reviews.jobs.ratings_ended"),
    "generate_summaries": JobKind(run="reviews.jobs.generate_summaries", long=True),
    "review_requests": JobKind(run="reviews.jobs.review_requests"),
    "ground_summaries": JobKind(run="reviews.jobs.ground_summaries", ended="reviews.jobs.grounding_ended"),
    "compare_documents": JobKind(run="reviews.jobs.compare_documents"),
    "change_queue": JobKind(run="reviews.jobs.change_queue"),
    "look_for_disputes": JobKind(run="reviews.jobs.look_for_disputes"),
    "fill_queues": JobKind(run="reviews.jobs.fill_queues"),
    "measure_agreement": JobKind(run="reviews.jobs.measure_agreement"),
    "register_model": JobKind(run="models_app.training.registering_job.run", long=True),
    "train": JobKind(
        run="models_app.training.job.run",
        ended="models_app.training.job.ended",
        again="models_app.training.starting.again",
    ),
    "compare": JobKind(run="models_app.gates.comparing.carry_out"),
    "judge_release": JobKind(
        run="models_app.releases.judging.carry_out",
        ended="models_app.gates.running.ended",
        again="models_app.gates.running.again",
    ),
    "evaluate": JobKind(
        run="models_app.evaluation.job.run",
        ended="models_app.evaluation.job.ended",
        again="models_app.evaluation.running.again",
        long=True,
    ),
    "run_cases": JobKind(run="models_app.evaluation.cases_job.run", long=True),
    "try_prompt": JobKind(run="reviews.jobs.try_prompt", ended="reviews.jobs.trial_ended"),
    "verify_audit": JobKind(run="models_app.foundation.audit_job.run"),
    "anchor_audit": JobKind(run="models_app.foundation.audit_job.anchor"),
    "deliver_webhooks": JobKind(run="models_app.webhooks.job.run"),
}
GALLEY_JOB_LEASE_SECONDS: int = ENV.job_lease_seconds

# Called in the transaction in which somebody is deactivated or may no longer review, with `person` and `actor`.
GALLEY_WHEN_SOMEBODY_LEAVES = "reviews.desk.assigning.free_all_of"
# Called with the origins of training rows ("feedback:17"): what the human side knows of them.
GALLEY_KNOWN_OF_ROWS = "reviews.examples.provenance.known_of_rows"
# models_app/evidence/human_side.py: licences of articles and marked errors, for model cards
GALLEY_KNOWN_FOR_CARDS = "reviews.examples.for_cards.KNOWN"
# Called with the action of each audit event, in its transaction.
GALLEY_AFTER_EVENT = "models_app.webhooks.job.after_event"

# ---------------------------------------------------------------- what Galley does

GALLEY_DEVICE: str = ENV.device
GALLEY_TORCH_THREADS: int = ENV.torch_threads
GALLEY_SLOT_THREADS: int = ENV.slot_threads
GALLEY_SLOT_QUEUE: int = ENV.slot_queue
GALLEY_SLOT_ANSWERS_MB: int = ENV.slot_answers_mb
GALLEY_SLOT_MEMORY_MB: int = ENV.slot_memory_mb
GALLEY_REQUEST_SECONDS: int = ENV.request_seconds
GALLEY_OUTAGE_MINUTES: int = ENV.outage_minutes
GALLEY_OUTAGE_LOG_MB: int = ENV.outage_log_mb
GALLEY_KEEP_REQUEST_TEXT: bool = ENV.keep_request_text
GALLEY_MAX_UPLOAD_MB: int = ENV.max_upload_mb
GALLEY_IMPORT_MEMORY_MB: int = ENV.import_memory_mb
GALLEY_EXPORT_DAYS: int = ENV.export_days
GALLEY_UPLOAD_DAYS: int = ENV.upload_days
GALLEY_NOTIFICATION_DAYS: int = ENV.notification_days
GALLEY_MAX_DOCUMENT_WORDS: int = ENV.max_document_words
GALLEY_MIN_DOCUMENT_WORDS: int = ENV.min_document_words
GALLEY_SPLIT_SHARES: tuple[int, int, int] = ENV.split_shares
GALLEY_SPLIT_SALT: str = ENV.split_salt
GALLEY_MIN_TRAINING_EXAMPLES: int = ENV.min_training_examples
GALLEY_REQUEST_AFTER_CORRECTIONS: int = ENV.request_after_corrections
GALLEY_REQUEST_BELOW_STARS: float = ENV.request_below_stars
GALLEY_TRAINING_HOURS: int = ENV.training_hours
GALLEY_MODEL_DIRECTORIES: list[Path] = ENV.model_directories
GALLEY_OFFLINE: bool = ENV.offline
GALLEY_AUDIT_ANCHOR_FILE: Path | None = ENV.audit_anchor_file
GALLEY_WEBHOOK_HOSTS: Inside = ENV.webhook_hosts

# ---------------------------------------------------------------- people and their sessions

AUTHENTICATION_BACKENDS = [
    "models_app.people.backend.RolesBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
ACCOUNT_ADAPTER = "models_app.web.accounts.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
# Wrong passwords and codes are counted by models_app.foundation.tries, across processes.
ACCOUNT_RATE_LIMITS = {
    "login": "30/m/ip",
    "login_failed": False,
    "reauthenticate": False,
    "change_password": False,
}
ACCOUNT_REAUTHENTICATION_TIMEOUT = 900
ACCOUNT_FORMS = {"change_password": "models_app.web.account_forms.ChangePassword"}
MFA_FORMS = {
    "authenticate": "models_app.web.account_forms.SecondFactor",
    "reauthenticate": "models_app.web.account_forms.SecondFactorAgain",
}
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "Galley"
EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"

# ---------------------------------------------------------------- security

GALLEY_TRUSTED_PROXIES = ENV.trusted_proxies
GALLEY_DJANGO_ADMIN: bool = ENV.django_admin
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_NAME = "galley_session"
CSRF_COOKIE_NAME = "galley_csrf"
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL] if HTTPS else []
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_HSTS_SECONDS = 31536000 if HTTPS else 0
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "font-src": [SELF],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "manifest-src": [SELF],
    }
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024
FILE_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
FILE_UPLOAD_HANDLERS = [
    "reviews.web.ingest.uploading.UploadLimit",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]
DATA_UPLOAD_MAX_NUMBER_FIELDS = 5000

# ---------------------------------------------------------------- REST API

KNOX_TOKEN_MODEL = "models_app.ApiToken"
REST_KNOX = {"TOKEN_TTL": None, "AUTO_REFRESH": False, "TOKEN_PREFIX": "gly_"}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["models_app.api.authentication.ScopedTokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["models_app.api.authentication.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": "models_app.api.pagination.Pages",
    "PAGE_SIZE": 50,
    "EXCEPTION_HANDLER": "models_app.api.errors.handle",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_THROTTLE_CLASSES": ["models_app.api.authentication.TokenThrottle"],
    "DEFAULT_THROTTLE_RATES": {"token": ENV.api_rate},
    "UNAUTHENTICATED_USER": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Galley",
    "DESCRIPTION": "Summaries from the live release, feedback on them, documents and reviews for the desk, exports "
    "of what people said, and releases.",
    "VERSION": "v1",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PUBLIC": True,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "models_app.api.schema.with_failures",
    ],
    "ENUM_NAME_OVERRIDES": {
        "ReleaseStateEnum": "models_app.models.Release.State",
        "RunStateEnum": "models_app.models.jobs.RunState",
        "ImprovementKindEnum": "reviews.models.ImprovementRequest.Kind",
        "ExportKindEnum": "reviews.exports.request.KINDS",
        "GateRunStateEnum": "models_app.models.GateRun.State",
        "GateVerdictEnum": "models_app.models.GateRun.Verdict",
        "ComparisonVerdictEnum": "models_app.api.evaluations.VERDICTS",
    },
}

# ---------------------------------------------------------------- language, static files, logs

LANGUAGE_CODE = "en"
TIME_ZONE: str = ENV.time_zone
USE_TZ = True
USE_I18N = True
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = GALLEY_HOME / "static"
# Compressing is the slowest part of a first start: each file once, under the name that pages ask for, no source maps.
WHITENOISE_KEEP_ONLY_HASHED_FILES = True
WHITENOISE_SKIP_COMPRESS_EXTENSIONS = (*Compressor.SKIP_COMPRESS_EXTENSIONS, "map")
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": (
            "django.contrib.staticfiles.storage.StaticFilesStorage"
            if DEBUG
            else "llmops_site.static_files.ModuleStorage"
        )
    },
}
MEDIA_ROOT = GALLEY_HOME / "uploads"
FILE_UPLOAD_PERMISSIONS = 0o600
FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o700
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
SILENCED_SYSTEM_CHECKS: list[str] = []

HOSTNAME = socket.gethostname()
_shared: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.TimeStamper(fmt="iso"),
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": structlog.stdlib.ProcessorFormatter,
            "processor": structlog.processors.LogfmtRenderer(
                key_order=["timestamp", "level", "event"], bool_as_flag=False
            ),
            "foreign_pre_chain": _shared,
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": ENV.log_level},
    "loggers": {
        "django.db.backends": {"level": "WARNING"},
        # What a client did wrong is no warning to the operator; the request's own line has its status.
        "django.request": {"level": "ERROR"},
        "httpx": {"level": "WARNING"},
    },
}
DJANGO_STRUCTLOG_STATUS_4XX_LOG_LEVEL = logging.INFO
structlog.configure(
    processors=[
        *_shared,
        structlog.stdlib.filter_by_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)

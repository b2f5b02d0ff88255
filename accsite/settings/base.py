"""What every installation shares. Nothing here knows a machine, a secret or a host name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import dj_database_url
from csp.constants import NONE, SELF
from django.templatetags.static import static

from accsite import home
from accsite.settings import env

home.keep_private()

ROOT = Path(__file__).resolve().parents[2]
HOME = Path(env.text("ACC_HOME", str(ROOT / "var"))).resolve()
PLUGINS_ROOT = Path(env.text("ACC_PLUGINS", str(ROOT / "plugins"))).resolve()

DEBUG = False
ALLOWED_HOSTS: list[str] = []
ROOT_URLCONF = "accsite.urls"
# Sockets, each an app's own: by name, as addresses are, so that no app need know those above it.
ACC_SOCKETS = {
    "ws/live/": "accsite.apps.live.consumers.LiveConsumer",
    "ws/latent/": "accsite.apps.latent.consumers.LatentConsumer",
}
ASGI_APPLICATION = "accsite.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
FORMAT_MODULE_PATH = "accsite.formats"
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"

INSTALLED_APPS = [
    # For that command alone: it brings Twisted, some 15 MiB, into every process; the web process imports it by itself.
    *(["daphne"] if "runserver" in sys.argv else []),
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "csp",
    "accsite.apps.access",
    "accsite.apps.audit",
    "accsite.apps.live",
    "accsite.apps.registry",
    "accsite.apps.jobs",
    "accsite.apps.datasets",
    "accsite.apps.training",
    "accsite.apps.trees",
    "accsite.apps.recipes",
    "accsite.apps.evaluation",
    "accsite.apps.runs",
    "accsite.apps.studies",
    "accsite.apps.latent",
    "accsite.apps.notes",
    "accsite.apps.news",
    "accsite.apps.operations",
    "accsite.glossary",
    "accsite.search",
    "accsite.supervisor",
]

MIDDLEWARE = [
    "accsite.health.HealthMiddleware",
    "accsite.logging.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "accsite.compression.CompressionMiddleware",
    "accsite.staticfiles.StaticMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accsite.apps.access.auditing.AuditMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "accsite.apps.access.middleware.RoleMiddleware",
    "accsite.api.queries.QueryMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "accsite.csp.PolicyMiddleware",
    # Last, next to the views: what is told apart by an ETag must not yet hold what differs by request.
    "django.middleware.http.ConditionalGetMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "accsite" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]


def database(url: str) -> dict[str, Any]:
    """Return Django's database settings for ``url``; SQLite gets WAL, a sync a commit, and IMMEDIATE transactions."""
    config: dict[str, Any] = dict(dj_database_url.parse(url))
    if config["ENGINE"] == "django.db.backends.sqlite3":
        config["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 30,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
        }
    else:
        config.setdefault("CONN_MAX_AGE", 60)
        config["CONN_HEALTH_CHECKS"] = True
    return config


DATABASES = {"default": database(env.text("DATABASE_URL", f"sqlite:///{HOME / 'acc.sqlite3'}"))}
# The file of an SQLite database; empty for a server.
ACC_DATABASE_FILE = str(DATABASES["default"]["NAME"]) if "sqlite" in DATABASES["default"]["ENGINE"] else ""

# The supervisor leaves the address of its private Redis beside the data, for commands from another shell.
REDIS_URL = env.text("REDIS_URL", env.note(HOME / "run" / "redis.url") or "redis://127.0.0.1:6379/0")
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {
            # Waiting for a message takes 5 s by itself; redis-py's own limit is the same and would break it off.
            "hosts": [{"address": REDIS_URL, "socket_timeout": 15}],
            "capacity": 1000,
            "expiry": 30,
            "prefix": "acc",
        },
    }
}

# The row is the truth and the message only a doorbell, so messages are acknowledged early and never retried.
CELERY_BROKER_URL = REDIS_URL
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ACKS_LATE = False
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_DISABLE_PREFETCH = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_timeout": 5, "socket_connect_timeout": 2, "retry_on_timeout": True}

# Datasets, weights, pictures: a local folder, or any Django storage (S3-compatible: django-storages).
BLOBS_BACKEND = env.text("ACC_BLOBS_BACKEND", "django.core.files.storage.FileSystemStorage")
BLOBS_OPTIONS = env.json_object("ACC_BLOBS_OPTIONS", {"location": str(HOME / "blobs"), "base_url": None})
STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": BLOBS_BACKEND, "OPTIONS": BLOBS_OPTIONS},
    "staticfiles": {"BACKEND": "accsite.staticstorage.HashedStorage"},
}
# A folder is uploaded as its files; each goes to the disk at once, since many small ones would fill the memory.
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.TemporaryFileUploadHandler"]
DATA_UPLOAD_MAX_NUMBER_FILES = 2_000
FILE_UPLOAD_PERMISSIONS, FILE_UPLOAD_DIRECTORY_PERMISSIONS = home.FILE_MODE, home.FOLDER_MODE
STATIC_URL = "static/"
STATIC_ROOT = HOME / "static"
STATICFILES_DIRS = [ROOT / "accsite" / "static"]
WHITENOISE_ALLOW_ALL_ORIGINS = False
# What is vendored has its version in its address, so a browser keeps it; collected files have a hash in their names.
VENDORED = r"/vendor/[^/]+/\d+(\.\d+)+/"

AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "accsite.apps.access.backends.RoleBackend",
]
# The role of those who are in the group of none: viewer, researcher, operator or administrator.
ACC_DEFAULT_ROLE = env.choice(
    "ACC_DEFAULT_ROLE", ("viewer", "researcher", "operator", "administrator"), "researcher"
)
LOGIN_URL = "access:sign-in"
LOGIN_REDIRECT_URL = "/"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
    }
}

LOGGING_CONFIG = "accsite.logging.setup"
LOGGING = {
    "level": env.choice("ACC_LOG_LEVEL", ("DEBUG", "INFO", "WARNING", "ERROR"), "INFO"),
    "format": env.choice("ACC_LOG_FORMAT", ("auto", "console", "json"), "auto"),
    "loggers": {
        "daphne": "WARNING",
        "twisted": "WARNING",
        "django.channels.server": "WARNING",
        # A line of our own says what became of a job; Celery would tell of each message twice.
        "celery.app.trace": "WARNING",
        "celery.worker.strategy": "WARNING",
    },
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accsite.api.authentication.TokenAuthentication",
        # Only this one is a browser's, so only this one asks for a CSRF token.
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_THROTTLE_CLASSES": ["accsite.api.throttling.WriteThrottle"],
    "DEFAULT_THROTTLE_RATES": {"writes": env.text("ACC_WRITE_RATE", "600/min")},
    "DEFAULT_PERMISSION_CLASSES": ["accsite.api.permissions.RolePermission"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["accsite.api.parsers.BoundedJSONParser"],
    "DEFAULT_FILTER_BACKENDS": ["accsite.api.pages.Ordering"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": "accsite.api.pages.Pages",
    "PAGE_SIZE": 50,
    "EXCEPTION_HANDLER": "accsite.problems.exception_handler",
}

# Only hashes of tokens are kept; what they may do and when they end stands beside them.
KNOX_TOKEN_MODEL = "access.ApiToken"  # noqa: S105 - a model's name
# Its own migrations would make a table of tokens beside ours.
MIGRATION_MODULES = {"knox": None}
REST_KNOX = {"TOKEN_PREFIX": "acc_"}

SPECTACULAR_SETTINGS = {
    "TITLE": "Autoencoder Control Center",
    "DESCRIPTION": "Train, steer, branch and measure autoencoders. Errors are RFC 9457 problem details.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None},
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "accsite.apps.registry.api.plugin_schemas.describe_params",
        "accsite.api.schema.describe_problems",
        "accsite.api.schema.summarise",
    ],
    "ENUM_NAME_OVERRIDES": {
        "CheckpointKindEnum": "accsite.apps.training.models.CheckpointKind",
        "JobStateEnum": "accsite.apps.jobs.states.JobState",
        "JobStateNameEnum": "accsite.apps.jobs.api.schema.JOB_STATES",
        "MeasureDirectionEnum": ["principal", "pattern", "dimensions"],
        "QueueDirectionEnum": "accsite.apps.jobs.services.queue.DIRECTIONS",
        "TargetKindEnum": ["class", "real"],
        "VisibilityEnum": "accsite.apps.training.models.Visibility",
    },
}

UNFOLD = {
    "SITE_TITLE": "ACC administration",
    "SITE_HEADER": "ACC",
    "SITE_SUBHEADER": "Autoencoder Control Center",
    "SITE_URL": "/",
    "SITE_SYMBOL": "hub",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda _request: static("favicon.svg")}
    ],
    "STYLES": [lambda _request: static("css/tokens.css"), lambda _request: static("css/admin.css")],
    "SCRIPTS": [lambda _request: static("js/admin.js")],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": True,
    "SIDEBAR": {"show_search": True, "show_all_applications": True},
}

# Where people find this site; links that are printed or sent begin with it.
ACC_PUBLIC_URL = env.text("ACC_PUBLIC_URL", env.note(HOME / "run" / "site.url") or "http://127.0.0.1:8000")
# Where commands such as `manage.py verify` ask the site itself: the same, unless a proxy stands before it.
ACC_INTERNAL_URL = env.text("ACC_INTERNAL_URL", ACC_PUBLIC_URL)
# How many proxies of our own stand in front and add to X-Forwarded-For.
ACC_PROXIES = 0
# How often an open page is told the state of its jobs and brought level with what it missed.
ACC_PING_SECONDS = env.number("ACC_PING_SECONDS", 5)
# Which device serves which queues under `manage.py up`: "cuda:0=train cuda:1=eval". Empty: one train worker.
ACC_DEVICES = env.text("ACC_DEVICES", "")
# Whether several workers of one machine may be bound to one GPU.
ACC_SHARE_DEVICES = env.flag("ACC_SHARE_DEVICES", default=False)
# The network interface over which ranks of one job talk to those of other machines; empty: none do. What passes there
# is neither signed nor encrypted, so it is to be a network of these machines' own.
ACC_RANKS_INTERFACE = env.text("ACC_RANKS_INTERFACE", "")
# What this machine is called: workers of one share its devices. Empty: its host name, which in a container is another.
ACC_MACHINE = env.text("ACC_MACHINE", "")
# How long a worker may be silent before its job is taken from it, and how often it speaks.
ACC_LEASE_SECONDS = env.number("ACC_LEASE_SECONDS", 20)
ACC_HEARTBEAT_SECONDS = env.number("ACC_HEARTBEAT_SECONDS", 4)
ACC_MAX_ATTEMPTS = 3
# Processor threads of a job that names none. Models that train on a processor are small: for the demo's, a second
# thread costs three times the work, and eight times the time where somebody else needs the cores, too.
ACC_THREADS = int(env.number("ACC_THREADS", 1))
# How long a job may take to hear a stop before its process is ended where it stands.
ACC_STOP_SECONDS = env.number("ACC_STOP_SECONDS", 30)
# After how long without a step a training is told to stand still; nothing is ended by that.
ACC_STALL_SECONDS = env.number("ACC_STALL_SECONDS", 120)
# How many checkpoints may be in the hand at once, of all who drag sliders; each keeps its weights in memory.
ACC_LATENT_CHECKPOINTS = int(env.number("ACC_LATENT_CHECKPOINTS", 12))
# How many GiB of memory one job may have on a worker of the CPU; 0: four fifths of the machine's or container's.
ACC_JOB_MEMORY_GIB = env.number("ACC_JOB_MEMORY_GIB", 0)
# What Prometheus sends to read /metrics; none: signed-in staff only.
ACC_METRICS_TOKEN = env.text("ACC_METRICS_TOKEN", "")
ACC_SWEEP_SECONDS = env.number("ACC_SWEEP_SECONDS", 2)
# The most bytes of JSON that one request may send.
ACC_MAX_BODY_BYTES = int(env.number("ACC_MAX_BODY_BYTES", 4 * 2**20))
# The largest dataset, unpacked, that an import takes.
ACC_MAX_DATASET_BYTES = int(env.number("ACC_MAX_DATASET_BYTES", 16 * 2**30))
# Folders of the server whose files may be imported by their path, separated by colons; empty: none.
ACC_IMPORT_ROOTS = env.paths("ACC_IMPORT_ROOTS")
# How long what was removed can be restored: a dataset, or checkpoints of a tree.
ACC_UNDO_SECONDS = env.number("ACC_UNDO_SECONDS", 7 * 86_400)
# What pruning keeps where an experiment has no policy of its own, besides what is tagged, starred or needed:
# the newest of each branch, and the best of the experiment by a metric.
ACC_KEEP_LAST = int(env.number("ACC_KEEP_LAST", 3))
ACC_KEEP_BEST = int(env.number("ACC_KEEP_BEST", 1))
ACC_KEEP_METRIC = env.text("ACC_KEEP_METRIC", "loss/total")
# The most bytes that an imported checkpoint may have, packed or unpacked.
ACC_IMPORT_BYTES = int(env.number("ACC_IMPORT_BYTES", 8 * 2**30))

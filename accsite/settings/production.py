"""A site behind TLS: every secret and host from the environment, missing ones named at start."""

from __future__ import annotations

from accsite.settings import env

env.require("SECRET_KEY", "ALLOWED_HOSTS", "DATABASE_URL", "REDIS_URL")

from accsite.settings.base import *  # noqa: E402, F403 - settings inherit, once what they need is there

ACC_EMBEDDED = False
SECRET_KEY = env.text("SECRET_KEY")
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS")
# An empty one is none: a compose file passes on what nobody has set.
ACC_PUBLIC_URL = env.text("ACC_PUBLIC_URL", "") or f"https://{ALLOWED_HOSTS[0].lstrip('.')}"
ACC_INTERNAL_URL = env.text("ACC_INTERNAL_URL", "") or ACC_PUBLIC_URL

ACC_PROXIES = int(env.number("ACC_PROXIES", 1))
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = env.flag("SECURE_SSL_REDIRECT", default=True)
SECURE_HSTS_SECONDS = int(env.number("SECURE_HSTS_SECONDS", 31_536_000))
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
SESSION_COOKIE_SECURE = env.flag("SECURE_COOKIES", default=True)
CSRF_COOKIE_SECURE = env.flag("SECURE_COOKIES", default=True)

"""The web process: HTTP by Django, sockets by Channels. Imports no torch."""

from __future__ import annotations

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.urls import get_resolver, path, re_path
from django.utils.module_loading import import_string

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "accsite.settings.embedded")
_http = get_asgi_application()

# Models may be imported only now that the apps are set up.
from accsite.apps.access.loopback import LoopbackOnly  # noqa: E402
from accsite.apps.access.sockets import SignedInSockets  # noqa: E402
from accsite.apps.live.consumers import NoSuchSocket  # noqa: E402
from accsite.bodies import BoundedBodies, bound_daphne  # noqa: E402
from accsite.keptfiles import KeptFiles  # noqa: E402
from accsite.server import adapt_daphne  # noqa: E402

_sockets = URLRouter(
    [
        *(path(address, import_string(name).as_asgi()) for address, name in settings.ACC_SOCKETS.items()),
        re_path("", NoSuchSocket.as_asgi()),
    ]
)

# Read every view now: the first visitor must not wait for it, nor a broken one for a visitor.
get_resolver().url_patterns  # noqa: B018
bound_daphne()
adapt_daphne()
application = LoopbackOnly(
    ProtocolTypeRouter(
        {
            "http": KeptFiles(BoundedBodies(_http)),
            "websocket": AllowedHostsOriginValidator(SignedInSockets(_sockets)),
        }
    )
)

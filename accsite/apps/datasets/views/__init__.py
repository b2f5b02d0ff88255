"""Pages of datasets: the list, one dataset, what may be done to it, and two beside each other."""

from accsite.apps.datasets.views.change import remove, rename, restore
from accsite.apps.datasets.views.compare import compare, difference, neighbours
from accsite.apps.datasets.views.detail import detail
from accsite.apps.datasets.views.listing import index

__all__ = ["compare", "detail", "difference", "index", "neighbours", "remove", "rename", "restore"]

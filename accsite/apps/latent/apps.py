"""The app of the latent in the hand: a checkpoint's decoder, drawn as fast as somebody drags."""

from django.apps import AppConfig


class LatentConfig(AppConfig):
    """Says what its pages are about, and forgets decoders of checkpoints that are removed for good."""

    name = "accsite.apps.latent"
    label = "latent"

    def ready(self) -> None:
        from accsite.apps.access import permissions
        from accsite.apps.evaluation.access import page_object
        from accsite.apps.latent.services import forget_purged
        from accsite.apps.trees.services.deletion import purging

        purging.connect(forget_purged, dispatch_uid="latent.forget_purged")
        permissions.register_pages("latent", page_object)

from django.apps import AppConfig


class TrainingConfig(AppConfig):
    name = "accsite.apps.training"
    label = "training"

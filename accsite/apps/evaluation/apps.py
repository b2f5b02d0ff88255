from django.apps import AppConfig


class EvaluationConfig(AppConfig):
    name = "accsite.apps.evaluation"
    label = "evaluation"

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("datasets", "__first__"),
        ("registry", "__first__"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Worker",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        help_text="stable: host, queues and device", max_length=120, unique=True
                    ),
                ),
                ("hostname", models.CharField(max_length=120)),
                ("pid", models.PositiveIntegerField()),
                ("device", models.CharField(max_length=32)),
                ("queues", models.JSONField(default=list)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("ONLINE", "online"),
                            ("DRAINING", "draining"),
                            ("RETIRED", "retired"),
                            ("OFFLINE", "offline"),
                        ],
                        default="ONLINE",
                        max_length=16,
                    ),
                ),
                (
                    "telemetry",
                    models.JSONField(default=dict, help_text="device name, utilisation, memory, temperature"),
                ),
                ("started_at", models.DateTimeField(auto_now_add=True)),
                ("heartbeat_at", models.DateTimeField()),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="Branch",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=80)),
                ("slug", models.SlugField(max_length=80)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="Checkpoint",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("autosave", "made while training, replaced by the next"),
                            ("final", "the end of a job"),
                            ("stopped", "where a job was stopped"),
                            ("manual", "asked for"),
                            ("expanded", "its parent, grown"),
                            ("imported", "from another installation"),
                        ],
                        max_length=16,
                    ),
                ),
                ("step", models.PositiveBigIntegerField(help_text="updates since the root of the tree")),
                ("job_step", models.PositiveBigIntegerField(help_text="updates since the start of its job")),
                ("file", models.CharField(help_text="name in the default storage", max_length=255)),
                ("sha256", models.CharField(max_length=64)),
                ("size_bytes", models.PositiveBigIntegerField()),
                ("spec", models.JSONField(help_text="acc.specs.TrainJobSpec that made it")),
                ("losses", models.JSONField(default=dict, help_text="last value of each series")),
                ("tag", models.CharField(blank=True, max_length=80)),
                ("note", models.TextField(blank=True)),
                ("starred", models.BooleanField(default=False)),
                (
                    "weights_pruned_at",
                    models.DateTimeField(
                        blank=True, help_text="when its file made room; the node stays in the tree", null=True
                    ),
                ),
                ("deleted_at", models.DateTimeField(blank=True, null=True)),
                (
                    "deletion",
                    models.UUIDField(
                        blank=True,
                        db_index=True,
                        help_text="what was deleted together is restored together",
                        null=True,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "branch",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="checkpoints",
                        to="training.branch",
                    ),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "parent",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="children",
                        to="training.checkpoint",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.AddField(
            model_name="branch",
            name="forked_from",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="forks",
                to="training.checkpoint",
            ),
        ),
        migrations.AddField(
            model_name="branch",
            name="head",
            field=models.ForeignKey(
                blank=True,
                help_text="null: the model as its seed makes it",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="head_of",
                to="training.checkpoint",
            ),
        ),
        migrations.CreateModel(
            name="Experiment",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=80)),
                ("slug", models.SlugField(max_length=80, unique=True)),
                ("model_spec", models.JSONField(help_text="acc.specs.ModelSpec")),
                (
                    "visibility",
                    models.CharField(
                        choices=[
                            ("site", "everyone on this site"),
                            ("private", "its owner, and those it is shared with"),
                        ],
                        default="site",
                        max_length=16,
                    ),
                ),
                (
                    "retention",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text="last, best, metric: what pruning keeps; empty: the site's policy",
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "owner",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.AddField(
            model_name="checkpoint",
            name="experiment",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="checkpoints",
                to="training.experiment",
            ),
        ),
        migrations.AddField(
            model_name="branch",
            name="experiment",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="branches", to="training.experiment"
            ),
        ),
        migrations.CreateModel(
            name="ExperimentShare",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "level",
                    models.CharField(
                        choices=[("view", "may look at it"), ("change", "may train, fork and label in it")],
                        default="view",
                        max_length=16,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "experiment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="shares",
                        to="training.experiment",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="experiment_shares",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["user__username"],
            },
        ),
        migrations.CreateModel(
            name="Job",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("train", "Train"),
                            ("evaluate", "Evaluate"),
                            ("generate", "Generate"),
                            ("import", "Import"),
                            ("recipe", "Recipe"),
                            ("expand", "Expand"),
                        ],
                        max_length=16,
                    ),
                ),
                ("queue", models.CharField(max_length=32)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("QUEUED", "queued"),
                            ("CLAIMED", "starting"),
                            ("RUNNING", "running"),
                            ("PAUSED", "paused"),
                            ("LOST", "lost"),
                            ("SUCCEEDED", "done"),
                            ("FAILED", "failed"),
                            ("CANCELLED", "stopped"),
                        ],
                        default="QUEUED",
                        max_length=16,
                    ),
                ),
                (
                    "attempt",
                    models.PositiveIntegerField(
                        default=0, help_text="raised by each claim; every write of a worker carries it"
                    ),
                ),
                (
                    "workers_lost",
                    models.PositiveIntegerField(
                        default=0, help_text="how often a worker fell silent with it"
                    ),
                ),
                (
                    "priority",
                    models.SmallIntegerField(default=0, help_text="of those that wait, the highest is next"),
                ),
                (
                    "position",
                    models.FloatField(
                        help_text="where it was moved to among jobs of its priority; null: as submitted, by its id",
                        null=True,
                    ),
                ),
                ("title", models.CharField(max_length=160)),
                (
                    "spec",
                    models.JSONField(
                        help_text="acc.specs.TrainJobSpec, EvalSpec, or the parameters of its kind"
                    ),
                ),
                ("device", models.CharField(blank=True, max_length=32)),
                ("lease_expires_at", models.DateTimeField(null=True)),
                ("step", models.PositiveBigIntegerField(default=0)),
                ("total_steps", models.PositiveBigIntegerField(default=0)),
                ("steps_per_second", models.FloatField(null=True)),
                (
                    "points_seq",
                    models.PositiveBigIntegerField(
                        default=0, help_text="blocks of loss points written, over all attempts"
                    ),
                ),
                (
                    "points_wall",
                    models.FloatField(
                        help_text="when the newest step was made, in seconds since the epoch", null=True
                    ),
                ),
                (
                    "message",
                    models.TextField(
                        blank=True,
                        help_text="a sentence for the user: why it failed, or what happened on the way",
                    ),
                ),
                ("traceback", models.TextField(blank=True)),
                ("result", models.JSONField(default=dict)),
                (
                    "idempotency_key",
                    models.CharField(
                        help_text="of the request that submitted it: sent twice, it makes one job",
                        max_length=80,
                        null=True,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("started_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                (
                    "branch",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="jobs",
                        to="training.branch",
                    ),
                ),
                (
                    "checkpoint",
                    models.ForeignKey(
                        help_text="evaluate: what is measured",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="evaluation_jobs",
                        to="training.checkpoint",
                    ),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "resume_checkpoint",
                    models.ForeignKey(
                        help_text="train: where the next attempt goes on",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="training.checkpoint",
                    ),
                ),
                (
                    "start_checkpoint",
                    models.ForeignKey(
                        help_text="train: where it began",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="training.checkpoint",
                    ),
                ),
                (
                    "worker",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="jobs",
                        to="training.worker",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.AddField(
            model_name="checkpoint",
            name="job",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="checkpoints",
                to="training.job",
            ),
        ),
        migrations.CreateModel(
            name="JobEvent",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        help_text="acc.training.protocols.CommandKind, or state, alarm, note", max_length=32
                    ),
                ),
                ("payload", models.JSONField(default=dict)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("PENDING", "waiting to be applied"),
                            ("APPLIED", "applied"),
                            ("REFUSED", "refused"),
                            ("RECORDED", "recorded"),
                        ],
                        default="RECORDED",
                        max_length=16,
                    ),
                ),
                ("message", models.TextField(blank=True)),
                (
                    "step",
                    models.PositiveBigIntegerField(
                        help_text="the step before which it was applied", null=True
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("applied_at", models.DateTimeField(null=True)),
                (
                    "actor",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "job",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="events", to="training.job"
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="LossBlock",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("attempt", models.PositiveIntegerField()),
                (
                    "seq",
                    models.PositiveBigIntegerField(
                        help_text="order of writing within the job; a gap tells a browser it missed one"
                    ),
                ),
                ("start", models.PositiveBigIntegerField()),
                ("count", models.PositiveIntegerField()),
                ("series", models.JSONField()),
                (
                    "minima",
                    models.BinaryField(
                        help_text="float32 LE, one per series; NaN where a series has no value"
                    ),
                ),
                (
                    "maxima",
                    models.BinaryField(
                        help_text="float32 LE, one per series; NaN where a series has no value"
                    ),
                ),
                ("sums", models.BinaryField(help_text="float64 LE, one per series")),
                (
                    "counts",
                    models.BinaryField(help_text="uint32 LE, one per series: how many steps have a value"),
                ),
                (
                    "clock",
                    models.BinaryField(
                        help_text="float64 LE pairs (step, seconds since the epoch); linear in between"
                    ),
                ),
                ("values", models.BinaryField(help_text="float32 LE, one series after another")),
                (
                    "job",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="loss_blocks",
                        to="training.job",
                    ),
                ),
            ],
            options={
                "ordering": ["job", "start"],
            },
        ),
        migrations.CreateModel(
            name="OutboxMessage",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("queue", models.CharField(max_length=32)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("rung_at", models.DateTimeField(null=True)),
                ("rings", models.PositiveIntegerField(default=0)),
                (
                    "job",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="outbox", to="training.job"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="RecipeRun",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("recipe", models.CharField(help_text="class name", max_length=120)),
                ("label", models.CharField(max_length=120)),
                ("params", models.JSONField(default=dict)),
                ("seed", models.PositiveBigIntegerField(default=0)),
                (
                    "plan",
                    models.JSONField(
                        default=dict, help_text="what a rehearsal foresaw: phases, verbs, train steps"
                    ),
                ),
                ("result", models.JSONField(help_text="what the recipe returned", null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "job",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="recipe_run",
                        to="training.job",
                    ),
                ),
                (
                    "source",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="recipe_runs",
                        to="registry.pluginsource",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="RecipeStep",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("path", models.CharField(max_length=120)),
                ("verb", models.CharField(max_length=32)),
                (
                    "args",
                    models.JSONField(default=dict, help_text="as called; a replay must call it the same"),
                ),
                ("phase", models.CharField(blank=True, max_length=120)),
                ("line", models.PositiveIntegerField(help_text="of the recipe's source", null=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("RUNNING", "running"),
                            ("SUCCEEDED", "done"),
                            ("FAILED", "failed"),
                            ("CANCELLED", "stopped"),
                        ],
                        default="RUNNING",
                        max_length=16,
                    ),
                ),
                (
                    "tries",
                    models.PositiveSmallIntegerField(default=1, help_text="jobs that were made for it"),
                ),
                (
                    "owns_job",
                    models.BooleanField(default=False, help_text="made for this step, and stopped with it"),
                ),
                ("result", models.JSONField(null=True)),
                ("message", models.TextField(blank=True)),
                ("started_at", models.DateTimeField(auto_now_add=True)),
                ("finished_at", models.DateTimeField(null=True)),
                (
                    "branch",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="training.branch",
                    ),
                ),
                (
                    "checkpoint",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="training.checkpoint",
                    ),
                ),
                (
                    "experiment",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="training.experiment",
                    ),
                ),
                (
                    "job",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="recipe_steps",
                        to="training.job",
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="steps",
                        to="training.reciperun",
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="Task",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("key", models.SlugField(max_length=64)),
                ("name", models.CharField(max_length=80)),
                ("task_class", models.CharField(max_length=120)),
                ("weight", models.FloatField(default=1.0)),
                ("enabled", models.BooleanField(default=True)),
                ("latent_start", models.PositiveIntegerField(blank=True, null=True)),
                ("latent_end", models.PositiveIntegerField(blank=True, null=True)),
                ("factor", models.CharField(blank=True, max_length=64)),
                ("params", models.JSONField(blank=True, default=dict)),
                ("position", models.PositiveIntegerField(default=0)),
                (
                    "colour_slot",
                    models.PositiveSmallIntegerField(
                        default=0, help_text="kept for ever, so a curve keeps its colour"
                    ),
                ),
                ("removed_at", models.DateTimeField(blank=True, null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "branch",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="tasks",
                        to="training.branch",
                    ),
                ),
                (
                    "dataset",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="tasks",
                        to="datasets.dataset",
                    ),
                ),
            ],
            options={
                "ordering": ["position", "id"],
            },
        ),
        migrations.AddConstraint(
            model_name="branch",
            constraint=models.UniqueConstraint(fields=("experiment", "slug"), name="one_branch_per_slug"),
        ),
        migrations.AddConstraint(
            model_name="experimentshare",
            constraint=models.UniqueConstraint(fields=("experiment", "user"), name="one_share_per_user"),
        ),
        migrations.AddConstraint(
            model_name="checkpoint",
            constraint=models.UniqueConstraint(
                condition=models.Q(("tag", ""), _negated=True),
                fields=("experiment", "tag"),
                name="one_checkpoint_per_tag",
            ),
        ),
        migrations.AddIndex(
            model_name="jobevent",
            index=models.Index(fields=["job", "status"], name="training_jo_job_id_ff4cd5_idx"),
        ),
        migrations.AddConstraint(
            model_name="lossblock",
            constraint=models.UniqueConstraint(fields=("job", "start"), name="one_block_per_start"),
        ),
        migrations.AddConstraint(
            model_name="recipestep",
            constraint=models.UniqueConstraint(fields=("run", "path"), name="one_step_per_path"),
        ),
        migrations.AddConstraint(
            model_name="task",
            constraint=models.UniqueConstraint(fields=("branch", "key"), name="one_task_per_key"),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(fields=["state", "queue"], name="training_jo_state_18b5d1_idx"),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(fields=["state", "lease_expires_at"], name="training_jo_state_93ed4b_idx"),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(fields=["branch", "kind", "state"], name="training_jo_branch__5c2588_idx"),
        ),
        migrations.AddConstraint(
            model_name="job",
            constraint=models.UniqueConstraint(
                fields=("created_by", "idempotency_key"), name="one_job_per_idempotency_key"
            ),
        ),
    ]

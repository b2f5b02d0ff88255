from django.db import migrations, models
from django.db.models.deletion import SET_NULL


class Migration(migrations.Migration):
    dependencies = [("recipes", "0003_programs_of_acc")]

    operations = [
        migrations.AddField(
            model_name="reciperun",
            name="within",
            field=models.ForeignKey(
                help_text="the call of another run that does this one; null: it has a job of its own",
                null=True,
                on_delete=SET_NULL,
                related_name="inner",
                to="recipes.recipestep",
            ),
        ),
    ]

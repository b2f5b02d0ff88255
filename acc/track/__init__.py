"""A loop of one's own, tracked: its values into a file beside it, and to a site when there is one.

::

    from acc import track

    with track.run("mnist/mine", config={"lr": 1e-3}) as run:
        for step in range(n):
            ...
            run.log({"loss": loss, "kl": kl}, step)
        run.save(model)

Three threads, and data goes one way: ``log`` keeps values in memory, a writer puts them into the journal
(``acc.journal``) ten times a second, a sender reads the journal and sends what the site does not have. Whatever fails
behind the journal is made good later, by the sender or by ``acc sync``. Needs neither Django nor torch.
"""

from acc.track.run import Run, run
from acc.track.sync import Synced, sync

__all__ = ["Run", "Synced", "run", "sync"]

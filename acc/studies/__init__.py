"""Studies: a question with arms, seeds, outcomes and claims, and what may be said of the answer. The seed is the unit.

``plan`` is what is written down before, ``results`` what came of each arm and seed, ``statistics`` what few seeds can
say, ``verdict`` the sentence, ``report`` and ``figures`` what is shown of it; all of these are torch-free. ``run`` does
a study on local processes.
"""

from acc.studies.plan import Arm, Claim, Outcome, Study
from acc.studies.results import Measured, Result
from acc.studies.verdict import Verdict, judge, settled

__all__ = ["Arm", "Claim", "Measured", "Outcome", "Result", "Study", "Verdict", "judge", "settled"]

"""Every error that raybayes raises on purpose, with the exit code of the command line.

RaybayesError                2    the user can act on it: found, allowed, what to do next
 ├─ SpecError                2    a specification, a configuration, an option
 ├─ SpaceError               2    a search space
 ├─ DataError                2    a data set
 ├─ StoreError               2    a folder of results: missing, damaged, locked, of a newer schema
 ├─ ResourceError            2    the cluster can never meet the request
 ├─ ClusterError             3    the Ray cluster cannot be reached, or was lost
 ├─ TrialError               1    a trial failed, or more trials than allowed
 │   └─ RefusedDataError     2    the training function refused its data
 └─ Interrupted            130    the user stopped the burst; everything is stored and can be resumed
     └─ OutOfTime           75    the time limit, or the batch system, stopped it (EX_TEMPFAIL: run it again)
"""


class RaybayesError(Exception):
    """A failure that the user can act on: the message says what was found, what is allowed, what to do next."""

    exit_code = 2


class SpecError(RaybayesError):
    """A specification, a configuration or an option is wrong."""


class SpaceError(RaybayesError):
    """A search space is wrong or does not fit its project."""


class DataError(RaybayesError):
    """A data set is missing, or its content is not as declared."""


class StoreError(RaybayesError):
    """A folder of results is missing, damaged, in use, or of a newer schema."""


class ResourceError(RaybayesError):
    """The cluster can never meet the request, however long it waits."""


class ClusterError(RaybayesError):
    """The Ray cluster could not be reached, or was lost."""

    exit_code = 3


class TrialError(RaybayesError):
    """A trial failed, or more trials failed than the sweep allows."""

    exit_code = 1


class RefusedDataError(TrialError):
    """The training function refused its data; the message is the function's own."""

    exit_code = 2


class Interrupted(RaybayesError):  # noqa: N818 - an early stop, not a mistake
    """The user stopped the burst early; everything is stored and can be resumed."""

    exit_code = 130


class OutOfTime(Interrupted):
    """The time limit is reached, or the batch system asked to stop; the same command resumes the sweep."""

    exit_code = 75  # sysexits.h: EX_TEMPFAIL, try again

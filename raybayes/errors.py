"""Every error that raybayes raises on purpose, each with the exit code that the command line answers with."""


class RaybayesError(Exception):
    """A failure that the user can act on: the message says what was found, what is allowed, what to do next."""

    exit_code = 2


class SpecError(RaybayesError):
    """A specification, a configuration or an option is wrong."""


class SpaceError(RaybayesError):
    """A search space is wrong or does not fit its project."""


class DataError(RaybayesError):
    """A data set is missing or has the wrong shape."""


class StoreError(RaybayesError):
    """A folder of results is missing, broken, in use, or of another schema."""


class ResourceError(RaybayesError):
    """The request can never be met by the machines that are there."""


class ClusterError(RaybayesError):
    """The Ray cluster could not be reached, or was lost."""

    exit_code = 3


class TrialError(RaybayesError):
    """A trial ended in a way that its training function must not."""

    exit_code = 1


class RefusedDataError(TrialError):
    """The training function refused its data; the message is its own sentence."""

    exit_code = 2


class Interrupted(RaybayesError):  # noqa: N818 - an early end, not a mistake
    """The user ended the burst early; everything is stored and can be resumed."""

    exit_code = 130


class OutOfTime(Interrupted):
    """The machine's time is over, or its batch system asked for an end; the same command, given again, goes on."""

    exit_code = 75  # sysexits.h: EX_TEMPFAIL, try again

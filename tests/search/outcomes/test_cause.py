"""The cause of a failure, from what users' trainings, Ray and the machine say."""

import pytest

from raybayes.search.outcomes.cause import Cause, find_cause


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB\n  File ...", Cause.MEMORY),
        ("MemoryError\n  File ...", Cause.MEMORY),
        ("RuntimeError: [enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory", Cause.MEMORY),
        ("RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", Cause.MEMORY),
        ("raybayes.errors.TrialError: python ended with exit code 1: line\nMemoryError", Cause.MEMORY),
        ("its worker was lost 3 times; the last time: Task was killed due to the node running low on memory.",
         Cause.MEMORY),
        ("loss was reported as nan", Cause.NOT_FINITE),
        ("loss was reported as -inf", Cause.NOT_FINITE),
        ("raybayes.errors.SpecError: rank: found 7; it must be below 5", Cause.REFUSED),
        ("pydantic_core._pydantic_core.ValidationError: 1 validation error for Config", Cause.REFUSED),
        ("its worker was lost 3 times; the last time: its process died", Cause.MACHINE),
        ("no worker could be started for it in 130 s; the last time: the node is dead", Cause.MACHINE),
        ("OSError: [Errno 28] No space left on device: '/scratch/x'", Cause.MACHINE),
        ("raybayes.errors.TrialError: python ended with exit code -9: epoch 3", Cause.MACHINE),
        ("raybayes.errors.TrialError: python ended with exit code 1: epoch 3", Cause.EXCEPTION),
        ("OSError: stale file handle\n  File 'x.py', line 3\n    raise MemoryError", Cause.EXCEPTION),
        ("TrialHangs: it did not report for 601 s after step 3 (the limit is 600 s); it was stopped", Cause.EXCEPTION),
        ("", Cause.EXCEPTION),
    ],
)  # fmt: skip
def test_the_cause_is_found_in_the_first_line(error, cause):
    assert find_cause(error) is cause


def test_what_a_cause_says():
    assert [cause for cause in Cause if not cause.teaches] == [Cause.MACHINE]
    assert [cause for cause in Cause if cause.certain] == [Cause.MEMORY, Cause.NOT_FINITE, Cause.REFUSED]

"""Where trials are computed: in this process, or on the workers of a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from offramp.errors import UserError
from offramp.search.study import Evaluate, Params, Values

# (task, params) -> values of the objectives; a module's function, so that it can be sent.
Compute = Callable[[Any, Params], Values]
WORKERS = 2  # of `--dask local`


def here(compute: Compute, task: Any) -> Evaluate:
    """One trial after the other."""

    def evaluate(trials: Sequence[tuple[int, Params]]) -> Iterator[tuple[int, Values | str]]:
        for number, params in trials:
            yield number, attempt(compute, task, params)

    return evaluate


def attempt(compute: Compute, task: Any, params: Params) -> Values | str:
    """A trial that cannot be made (nothing left of a layer, say) fails alone; our bugs do not pass as such."""
    try:
        return compute(task, params)
    except UserError as error:
        return error.message


@contextmanager
def on_dask(address: str, compute: Compute, task: Any, workers: int = WORKERS) -> Iterator[Evaluate]:
    """`address` of a scheduler, or "local" for processes on this machine.

    A trial whose worker dies is given to another; after three deaths it counts as failed.
    """
    distributed = import_distributed()
    cluster = None
    if address == "local":
        cluster = distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
        )
    try:
        client = distributed.Client(cluster or address, timeout=10)
    except (OSError, TimeoutError, ValueError) as error:
        raise UserError(f"no Dask scheduler at {address} ({error})", "give its address, or local") from error
    try:
        sent = client.scatter(task, broadcast=True)
        yield lambda trials: collect(distributed, client, compute, sent, trials)
    finally:
        client.close()
        if cluster is not None:
            cluster.close()


def collect(
    distributed: Any, client: Any, compute: Compute, sent: Any, trials: Sequence[tuple[int, Params]]
) -> Iterator[tuple[int, Values | str]]:
    futures = {client.submit(attempt, compute, sent, params, pure=False): n for n, params in trials}
    for future in distributed.as_completed(futures):
        try:
            yield futures[future], future.result()
        except distributed.scheduler.KilledWorker:
            yield futures[future], "its workers died"


def import_distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise UserError("--dask needs Dask, which is not installed", "pip install 'offramp[dask]'") from error
    return distributed

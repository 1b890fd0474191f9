"""What happens at the end of a tick, from points to alerts: the steps that `watch` runs live and `backtest` over history.

`steps` goes through monitors and cohorts; `look` judges one of them by the points in `book`, the frozen `normals` and the
sequential `detectors`; `attribution` says whose change it is; `evidence`, `clouds` and `versions` say what changed; `work` is
what a call holds in memory, and `telling` writes it with the messages that are due.
"""

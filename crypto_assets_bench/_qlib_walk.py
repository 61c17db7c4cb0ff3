"""Run by Qlib's own interpreter: ``python _qlib_walk.py DATA TASK.json OUT.parquet``. Imports nothing of ours.

Qlib's rolling workflow as its documentation has it: ``RollingGen`` makes the tasks, their handler is computed once and
cached, ``TrainerR`` trains them, ``SignalRecord`` predicts. The scores go to OUT; the seconds in all and within
``lightgbm.train``, of the clock and of the processors, and the peak memory are printed.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path


def spent() -> tuple[float, float]:
    """The clock, and the processors' seconds of this process and its ended children."""
    return time.perf_counter(), sum(os.times()[:4])


def main(data: str, task_file: str, out: str) -> None:
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    os.chdir(Path(data).parent)  # Qlib writes its records into the working folder
    import lightgbm
    import pandas as pd
    import qlib
    from qlib.model.trainer import TrainerR
    from qlib.workflow.task.gen import RollingGen, task_generator
    from qlib.workflow.task.utils import replace_task_handler_with_cache

    qlib.init(provider_uri=data, kernels=2, expression_cache=None, dataset_cache=None, clear_mem_cache=True)
    inside = [0.0, 0.0]
    train = lightgbm.train

    def timed(*given: object, **named: object) -> object:
        began = spent()
        try:
            return train(*given, **named)
        finally:
            for place, (now, then) in enumerate(zip(spent(), began, strict=True)):
                inside[place] += now - then

    lightgbm.train = timed
    wanted = json.loads(Path(task_file).read_text(encoding="utf-8"))
    began = spent()
    template = replace_task_handler_with_cache(wanted["task"], Path(data).parent)
    rolling = RollingGen(step=wanted["step"], rtype=RollingGen.ROLL_SD, trunc_days=wanted["trunc_days"])
    tasks = task_generator(template, rolling)
    recorders = TrainerR(experiment_name="walk_forward").train(tasks)
    scores = pd.concat([recorder.load_object("pred.pkl") for recorder in recorders])
    seconds, cpu = (now - then for now, then in zip(spent(), began, strict=True))
    scores.columns = ["score"]
    scores.reset_index().to_parquet(out)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    said = {
        "seconds": seconds, "training": inside[0], "cpu": cpu, "cpu_training": inside[1], "peak_mb": peak, "retrainings": len(tasks), "version": qlib.__version__
    }  # fmt: skip
    print(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])

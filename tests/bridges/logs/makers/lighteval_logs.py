"""Run under lighteval 0.13.0's own Python: writes its details of one task for two tiny models.

python tests/bridges/logs/makers/lighteval_logs.py OUT_DIR
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from own_texts import DEMO, replies, write

TASK = """
from lighteval.metrics.metrics import Metrics
from lighteval.tasks.lighteval_task import LightevalTaskConfig
from lighteval.tasks.requests import Doc

def ask(line, task_name=None):
    return Doc(task_name=task_name, query=f"Customer: {line['question']}\\nShop:",
               choices=[f" {one}" for one in line["choices"]], gold_index=line["answer"])

TASKS_TABLE = [LightevalTaskConfig(
    name="own_replies", prompt_function=ask, hf_repo="rows", hf_subset="default",
    hf_avail_splits=["test"], evaluation_splits=["test"], few_shots_split=None,
    few_shots_select=None, generation_size=-1, metrics=[Metrics.loglikelihood_acc], stop_sequence=None)]
"""


def main(out: Path) -> None:
    from lighteval.tasks.registry import Registry

    # Its whole catalogue would be imported, and some files of that download when imported.
    Registry._load_from_files = staticmethod(lambda files, package: {})
    Registry._load_from_subdirs = staticmethod(lambda folders: {})
    from lighteval.logging.evaluation_tracker import EvaluationTracker
    from lighteval.models.transformers.transformers_model import TransformersModelConfig
    from lighteval.pipeline import ParallelismManager, Pipeline, PipelineParameters

    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        Path("rows").mkdir()
        write(Path("rows/test.jsonl"), replies(40))
        Path("own_task.py").write_text(TASK, encoding="utf-8")
        for arm in ("base", "full"):
            Path(arm).symlink_to(DEMO / arm)
            tracker = EvaluationTracker(output_dir=str(out / arm), save_details=True)
            pipeline = Pipeline(
                tasks="own_replies|0",
                pipeline_parameters=PipelineParameters(
                    launcher_type=ParallelismManager.NONE, custom_tasks_directory="own_task.py"
                ),
                evaluation_tracker=tracker,
                model_config=TransformersModelConfig(
                    model_name=arm, dtype="float32", batch_size=8, max_length=400
                ),
            )
            pipeline.evaluate()
            pipeline.save_and_push_results()
            pipeline.show_results()


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())

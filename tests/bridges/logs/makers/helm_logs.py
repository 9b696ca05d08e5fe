"""Run under HELM's (crfm-helm 0.5.16) own Python: writes its runs of one scenario for two tiny models.

python tests/bridges/logs/makers/helm_logs.py OUT_DIR
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from own_texts import DEMO, messages

KEPT = ("run_spec.json", "scenario_state.json", "per_instance_stats.json", "stats.json")


def main(out: Path) -> None:
    from helm.benchmark import run
    from helm.benchmark.adaptation.common_adapter_specs import get_generation_adapter_spec
    from helm.benchmark.metrics.common_metric_specs import get_exact_match_metric_specs
    from helm.benchmark.run_spec import RunSpec, run_spec_function
    from helm.benchmark.scenarios.scenario import (
        CORRECT_TAG,
        TEST_SPLIT,
        Input,
        Instance,
        Output,
        Reference,
        Scenario,
        ScenarioSpec,
    )

    class OwnTopics(Scenario):
        name = "own_topics"
        description = "which topic a message is about"
        tags = ()

        def get_instances(self, output_path: str) -> list[Instance]:
            return [
                Instance(
                    Input(text=f"Message: {row['text']}\nTopic:"),
                    [Reference(Output(text=row["label"]), tags=[CORRECT_TAG])],
                    split=TEST_SPLIT,
                    id=row["id"],
                )
                for row in messages(20)
            ]

    sys.modules["own_topics"] = module = type(sys)("own_topics")
    module.OwnTopics = OwnTopics

    @run_spec_function("own_topics")
    def own_topics() -> RunSpec:
        adapter = get_generation_adapter_spec(
            input_noun=None, output_noun=None, max_tokens=4, max_train_instances=0
        )
        adapter = replace(adapter, input_suffix="")
        return RunSpec(
            name="own_topics",
            scenario_spec=ScenarioSpec(class_name="own_topics.OwnTopics", args={}),
            adapter_spec=adapter,
            metric_specs=get_exact_match_metric_specs(),
            groups=["own_topics"],
        )

    for arm in ("base", "full"):
        Path("models").mkdir(exist_ok=True)
        Path(f"models/{arm}").symlink_to(DEMO / arm)
    Path("prod_env").mkdir()
    for arm in ("base", "full"):
        sys.argv = [
            *("helm-run", "--run-entries", f"own_topics:model=huggingface/{arm}"),
            *("--suite", arm),
            *("--max-eval-instances", "20", "-n", "1", "--local-path", "prod_env"),
            *("--enable-local-huggingface-models", f"models/{arm}", "--disable-cache"),
        ]
        run.main()
        for path in Path(f"benchmark_output/runs/{arm}").rglob("*.json"):
            if path.name in KEPT:
                (out / arm).mkdir(parents=True, exist_ok=True)
                shutil.copy(path, out / arm)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        target = Path(sys.argv[1]).resolve()
        os.chdir(place)
        main(target)

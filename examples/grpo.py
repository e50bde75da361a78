"""TRL's GRPOTrainer with a plaudit model as its reward, in process, for a few steps.

python examples/grpo.py REWARD_MODEL [POLICY] [STEPS]
"""

import sys

from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

import plaudit
from plaudit.model.download import base_folder

QUESTIONS = [
    "My parcel has not arrived. What can I do?",
    "How do I change my delivery address?",
    "Can I get an invoice for last month?",
    "The app crashes when I open the camera.",
]


def main(reward_model, policy="smollm2", steps=3, output="grpo-output"):
    folder = base_folder(policy)
    prompts = [[{"role": "user", "content": question}] for question in QUESTIONS]
    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder),
        processing_class=AutoTokenizer.from_pretrained(folder, padding_side="left"),
        reward_funcs=plaudit.reward_function(plaudit.load(reward_model)),
        train_dataset=Dataset.from_dict({"prompt": prompts}),
        args=GRPOConfig(
            output_dir=output,
            max_steps=int(steps),
            per_device_train_batch_size=4,
            num_generations=4,
            max_completion_length=24,
            learning_rate=1e-6,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            bf16=False,
        ),
    )
    trainer.train()
    for log in trainer.state.log_history:
        if "reward" in log:
            print(f"step {log.get('step', '?')}: reward {float(log['reward']):+.3f}")
    return trainer.state.log_history


if __name__ == "__main__":
    main(*sys.argv[1:])

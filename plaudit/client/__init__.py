"""Scores for RL trainers: `reward_function` takes any Scorer. No torch."""

"""Answers that a causal model writes itself, and how they compare with the true ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from collect.chat import encode_before_answer, encode_conversation, find_turn_ends
from collect.conversations import Conversation
from collect.data import Item
from collect.examples import encode_prompt, find_beginning
from collect.machine import gather, processes, rank

__all__ = ["Prompt", "generate_answers", "make_prompts", "score_answers"]


class Prompt(NamedTuple):
    """Token ids of a prompt, the answer that is wanted, and the tokens that end it beside the tokenizer's."""

    ids: list[int]
    answer: str
    ends: frozenset[int] = frozenset()


def make_prompts(examples: Sequence[Item], tokenizer: Any, room: int) -> list[Prompt]:
    """Prompts of at most ``room`` tokens, cut at their beginning, as `collect.examples.encode` cuts them.
    Where an empty one has no token at all, it becomes the token that begins a text. Of a conversation, the
    assistant's last turn is wanted.
    """
    prompts = []
    begin = find_beginning(tokenizer)
    first = next(
        (token for token in (tokenizer.bos_token_id, tokenizer.eos_token_id) if token is not None), 0
    )
    for example in examples:
        if isinstance(example, Conversation):
            ids = encode_before_answer(example, tokenizer)[-room:]
            ends = find_turn_ends(*encode_conversation(example, tokenizer), tokenizer)
            prompts.append(Prompt(ids or [first], example.answer, frozenset(ends)))
        else:
            ids, _ = encode_prompt(example.source, tokenizer, room, begin)
            prompts.append(Prompt(ids or [first], example.target))
    return prompts


def generate_answers(
    model: Any, tokenizer: Any, wanted: Sequence[Prompt], *, batch_size: int, max_new_tokens: int
) -> list[str]:
    """What the model writes after each prompt, greedily; several processes share the work, and all get all
    answers.
    """
    import torch

    share = sorted(range(rank(), len(wanted), processes()), key=lambda number: len(wanted[number].ids))
    written: dict[int, str] = {}
    ends = sorted({end for prompt in wanted for end in prompt.ends} - {tokenizer.eos_token_id})
    device = next(model.parameters()).device
    for start in range(0, len(share), batch_size):
        numbers = share[start : start + batch_size]
        width = max(len(wanted[number].ids) for number in numbers)
        # padded on the left: what is written goes on where the prompt ends
        ids = torch.tensor(
            [[tokenizer.pad_token_id] * (width - len(wanted[n].ids)) + wanted[n].ids for n in numbers],
            device=device,
        )
        mask = torch.tensor(
            [[0] * (width - len(wanted[n].ids)) + [1] * len(wanted[n].ids) for n in numbers], device=device
        )
        out = model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            temperature=None,
            top_p=None,
            top_k=None,
            use_cache=True,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=[tokenizer.eos_token_id, *ends] if ends else tokenizer.eos_token_id,
        )
        texts = tokenizer.batch_decode(out[:, width:], skip_special_tokens=True)
        written.update(zip(numbers, texts, strict=True))
    together = {number: text for part in gather(written) for number, text in part.items()}
    return [together[number] for number in range(len(wanted))]


def score_answers(written: Sequence[str], wanted: Sequence[str], metrics: Sequence[str]) -> dict[str, float]:
    """``rougeL``: mean F-measure, 0 to 1 (rouge-score, with stemming). ``bleu``: that of the corpus, 0 to 100
    (sacrebleu). ``exact_match``: share of answers that are the same but for white space at both ends.
    """
    values: dict[str, float] = {}
    if "rougeL" in metrics:
        from rouge_score.rouge_scorer import RougeScorer

        scorer = RougeScorer(["rougeL"], use_stemmer=True)
        pairs = zip(wanted, written, strict=True)
        values["rougeL"] = sum(scorer.score(truth, text)["rougeL"].fmeasure for truth, text in pairs) / len(
            wanted
        )
    if "bleu" in metrics:
        import sacrebleu

        values["bleu"] = float(
            sacrebleu.corpus_bleu(
                [text.strip() for text in written], [[truth.strip() for truth in wanted]]
            ).score
        )
    if "exact_match" in metrics:
        values["exact_match"] = sum(
            text.strip() == truth.strip() for text, truth in zip(written, wanted, strict=True)
        ) / len(wanted)
    return values

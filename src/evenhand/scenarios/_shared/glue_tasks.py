"""The tasks of GLUE that are asked here, each a table of two texts and a label."""

from __future__ import annotations

from evenhand.scenarios._shared.glue import ENTAILMENT, Task

MRPC = Task(
    name="mrpc",
    columns=("#1 String", "#2 String", "Quality"),
    prompt="Sentence 1: {0}\nSentence 2: {1}\nQuestion: Do both sentences mean the same thing?\nAnswer:",
    options=(" no", " yes"),
    labels={"0": 0, "1": 1},
    licence="of Microsoft Research, for research",
    paper='W. B. Dolan, C. Brockett, "Automatically Constructing a Corpus of Sentential Paraphrases", 2005',
    files=("dev.tsv", "msr_paraphrase_test.txt"),
    positive=1,
)

RTE = Task(
    name="rte",
    columns=("sentence1", "sentence2", "label"),
    prompt="{0}\nQuestion: {1} True or False?\nAnswer:",
    options=(" True", " False"),
    labels=ENTAILMENT,
    licence="of the RTE challenges, for research",
    paper='I. Dagan, O. Glickman, B. Magnini, "The PASCAL Recognising Textual Entailment Challenge", 2005',
)

QNLI = Task(
    name="qnli",
    columns=("question", "sentence", "label"),
    prompt="{0}\n{1}\nQuestion: Does this response answer the question?\nAnswer:",
    options=(" yes", " no"),
    labels=ENTAILMENT,
    licence="CC BY-SA 4.0",
    paper='P. Rajpurkar et al., "SQuAD: 100,000+ Questions for Machine Comprehension of Text", EMNLP 2016',
)
